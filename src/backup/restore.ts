/**
 * Restores a data directory from a backup, on a host that has none.
 *
 * Invariants
 *   1. Nothing is overwritten: the data directory is empty, or it does not exist.
 *   2. The signature, every hash and every chain are verified before any file has the name under which a receiver looks for it.
 *   3. All of the backup is restored or nothing. `target.ts` says what an interruption leaves, and how the next run goes on.
 *   4. Only bytes that were compared are said to be altered. If they cannot be compared, the exit status is another one.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { CannotRun } from '../cli/io.ts'
import { nameOf } from '../records/layout.ts'
import { sha256Hex } from '../records/sha256.ts'
import { isBackup, manifestName } from './layout.ts'
import { type Manifest, readManifest } from './manifest.ts'
import { ownerFor } from './owner.ts'
import { BackupRefused, readBack } from './read-back.ts'
import { RestoreTarget } from './target.ts'

export type RestoreOptions = {
  /** A directory of backups, of which the newest is restored, or one backup in such a directory. */
  readonly backup: string
  /** The new data directory; undefined: the backup is only checked. */
  readonly target: string | undefined
  /** The file with the public key of the backup's signer; undefined: the signature is not checked. */
  readonly publicKey: string | undefined
  /** For root: the user who is to own the data. */
  readonly owner: string | undefined
  readonly onProgress: (done: number, total: number | undefined, what: string) => void
}

export type Restored = {
  readonly path: string
  readonly manifest: Manifest
  readonly warnings: readonly string[]
}

export async function restore(options: RestoreOptions): Promise<Restored> {
  const { target, publicKey, owner } = options
  const path = chosenIn(options.backup)
  const key = publicKey === undefined ? undefined : readFileSync(publicKey, 'utf8').trim()
  const manifest = readManifest(path, key)
  if (typeof manifest === 'string') throw new BackupRefused(`${path} ${manifest}`)
  const warnings = [...aboutOthers(options.backup, path), ...aboutLines(manifest)]
  if (target === undefined) {
    for (const warning of await readAll(options, path, manifest, undefined)) warnings.push(warning)
    return { path, manifest, warnings }
  }
  const to = new RestoreTarget(target, ownerFor(target, owner))
  try {
    if (to.belongsToAnother)
      warnings.push(
        'the files belong to whoever ran this: as root they would belong to the owner of the directory',
      )
    for (const warning of await placeAll(options, to, path, manifest)) warnings.push(warning)
    return { path, manifest, warnings }
  } finally {
    to.close()
  }
}

async function placeAll(
  options: RestoreOptions,
  to: RestoreTarget,
  path: string,
  manifest: Manifest,
): Promise<string[]> {
  const id = sha256Hex(JSON.stringify(manifest))
  const warnings: string[] = []
  const isReady = to.begin(id)
  try {
    if (isReady)
      warnings.push('an earlier restore of this backup was interrupted; this one went on where it was')
    else {
      for (const warning of await readAll(options, path, manifest, to)) warnings.push(warning)
      execFileSync('sync', ['-f', options.target as string])
      to.markReady(id)
    }
    to.finish([...new Set(manifest.associations.map(({ addon }) => addon))])
    return warnings
  } catch (error) {
    to.abandon()
    throw error
  }
}

function chosenIn(directory: string): string {
  if (!existsSync(directory)) throw new CannotRun(`there is no ${directory}`)
  const names = readdirSync(directory)
  if (names.includes(manifestName)) return directory
  const newest = names.filter(isBackup).sort().at(-1)
  if (newest !== undefined) return join(directory, newest)
  if (names.some((name) => /^manifest-.*\.json$/.test(name)))
    throw new BackupRefused(`${directory} holds a backup by version 1.0: restore it with that version`)
  throw new BackupRefused(`${directory} holds no backup, or its first one was not finished`)
}

function aboutOthers(directory: string, chosen: string): string[] {
  const others = readdirSync(directory).filter((name) => isBackup(name) && join(directory, name) !== chosen)
  if (others.length === 0) return []
  return [`beside it lie other backups, which were not looked at: ${others.join(', ')}`]
}

function aboutLines(manifest: Manifest): string[] {
  return manifest.associations.flatMap((entry) =>
    entry.earlier.map(
      (records, index) =>
        `${nameOf(entry)}: line ${index + 1} of copies, ${records} records, stays in the backup: the data directory was rolled back after it`,
    ),
  )
}

/** Reads and compares everything, and gives what is to be reported. */
async function readAll(
  { backup, onProgress }: RestoreOptions,
  path: string,
  manifest: Manifest,
  to: RestoreTarget | undefined,
): Promise<string[]> {
  if (!lstatSync(path).isDirectory()) throw new BackupRefused(`${backup} is not a directory`)
  const warnings: string[] = []
  let copies = 0
  let bytes = 0
  const total = manifest.associations.reduce((sum, each) => sum + each.copies, 0)
  const onBytes = async (count: number): Promise<void> => {
    bytes += count
    onProgress(++copies, total, `${Math.round(bytes / 1e6)} MB`)
    if (copies % 64 === 0) await nextTurn()
  }
  for (const entry of manifest.associations) {
    const { missing } = await readBack(path, entry, to?.sinkFor(entry), onBytes)
    if (missing > 0) {
      const what = `${missing} files were no longer in the data directory when the backup was made; they are in it`
      warnings.push(`${nameOf(entry)}: ${what}`)
    }
  }
  return warnings
}
