/**
 * Makes sure that the backup directory and everything below it belong to this user alone; otherwise the backup is refused.
 *
 * Invariants
 *   1. Nothing is read, written or removed below a directory that belongs to another user, that another user can write to, or that
 *      is a link. So nobody can turn a name below it into a link between a check and a use.
 *   2. Files that this program did not make are not touched.
 *
 * Not checked: directories *above* the backup directory. A user who can rename the whole backup directory can also remove it.
 */

import {
  type Dir,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readdirSync,
  type Stats,
  unlinkSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CannotRun } from '../cli/io.ts'
import { hasCode } from '../error-code.ts'
import { ownerOnly, ownerOnlyDirectory, writableByOthers } from '../records/layout.ts'
import { backupLockName, isBackup, isUnfinished, stampsName } from './layout.ts'

/** Checks a directory, or makes it when it does not exist. */
export function ownDirectory(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found) requireOwn(path, found)
  else mkdirSync(path, { mode: ownerOnlyDirectory })
}

/** Checks a directory that must exist. */
export function standingDirectory(path: string): void {
  requireOwn(path, lstatSync(path))
}

function requireOwn(path: string, found: Stats): void {
  if (found.isSymbolicLink()) throw new CannotRun(`${path} is a symbolic link, and none is followed here`)
  if (!found.isDirectory()) throw new CannotRun(`${path} is not a directory`)
  if (found.uid !== process.geteuid?.())
    throw new CannotRun(
      `${path} belongs to another user: run this as its owner (runuser -u NAME -- …), or name a directory of your own`,
    )
  if ((found.mode & writableByOthers) !== 0)
    throw new CannotRun(`${path} can be written to by others: chmod go-w it, and look at what is in it`)
}

/** Names that the backup of version 1 used. They are reported and not touched. */
const versionOne = /^(manifest-\d{8}T\d{9}Z\.json(\.sig)?|\.manifest-.*|objects|records)$/

export type Standing = {
  /** The backups by name, the newest last. */
  readonly backups: readonly string[]
  readonly hasVersionOne: boolean
}

export function standingIn(directory: string): Standing {
  const names = readdirSync(directory)
  const foreign = names.filter(
    (name) =>
      !isBackup(name) &&
      !isUnfinished(name) &&
      !name.startsWith(backupLockName) &&
      name !== 'lost+found' &&
      name !== stampsName &&
      !versionOne.test(name),
  )
  if (foreign.length > 0) throw new CannotRun(`${directory} is neither empty nor a directory of backups`)
  return {
    backups: names.filter(isBackup).sort(),
    hasVersionOne: names.some((name) => versionOne.test(name)),
  }
}

/** Removes what killed first runs left. They had no manifest, so no record was ever reported to be in them. */
export async function removeUnfinished(directory: string): Promise<void> {
  for (const name of readdirSync(directory)) {
    if (isUnfinished(name)) await rm(join(directory, name), { recursive: true, force: true })
  }
}

/** Opens a new file to write and read. If a killed run left a file or a link of this name, it is removed first and never written through. */
export function createFresh(path: string): number {
  try {
    return openSync(path, 'wx+', ownerOnly)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    unlinkSync(path)
    return openSync(path, 'wx+', ownerOnly)
  }
}

/** The names in a directory, in no order; none when it is gone. It reads a few names at a time, because readdir of 200,000 names takes five times the memory of the names. */
export function* namesIn(directory: string): Generator<string> {
  if (!lstatSync(directory, { throwIfNoEntry: false })?.isDirectory()) return
  let open: Dir
  try {
    open = opendirSync(directory, { bufferSize: 256 })
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  try {
    for (let entry = open.readSync(); entry; entry = open.readSync()) yield entry.name
  } finally {
    open.closeSync()
  }
}
