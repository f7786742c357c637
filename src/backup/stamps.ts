/**
 * Copies the time stamps that deploy/witness keeps to `<directory>/stamps/`, beside the backups, as plain files under their
 * names.
 *
 * A stamp carries the signature of its authority, so no manifest lists it, and `verify --stamps` can read this directory as it
 * is. A copy is made once and never replaced or removed. A stamp never changes; somebody who has altered records may alter or
 * remove the stamps that show it.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  readdirSync,
  renameSync,
  type Stats,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '../error-code.ts'
import { writeAllSync } from '../storage/files/durable-file.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import { createFresh, ownDirectory } from './directory.ts'
import type { BackupFindings } from './findings.ts'
import { stampsName } from './layout.ts'

const pattern = /^heads-\d{8}T\d{9}Z(\.txt|\.[a-z0-9-]{1,32}\.(tsr|pem))$/
const longest = 64 * 1024 * 1024
const newName = '.new'

/** A directory `from` that does not exist has no stamps yet. The copies are on disk before the manifest. */
export function copyStamps(from: string, directory: string, findings: BackupFindings): void {
  if (!existsSync(from)) return
  const to = join(directory, stampsName)
  ownDirectory(to)
  const there = readdirSync(from).filter((name) => pattern.test(name))
  const copied = new Set(readdirSync(to))
  for (const name of there) {
    const source = lstatSync(join(from, name), { throwIfNoEntry: false })
    if (!source) continue
    if (!copied.has(name)) copy(join(from, name), to, name, source, findings)
    else if (!isAsItWas(join(from, name), join(to, name), source))
      findings.tell(
        '',
        'stamps',
        'a time stamp or what belongs to it was altered; the first copy stays',
        name,
      )
  }
  const here = new Set(there)
  for (const name of copied)
    if (pattern.test(name) && !here.has(name))
      findings.tell('', 'stamps', 'a time stamp or what belongs to it is gone; the copy stays', name)
}

function copy(path: string, to: string, name: string, source: Stats, findings: BackupFindings): void {
  const bytes = bytesOf(path)
  if (typeof bytes === 'string') {
    findings.tell('', 'stamps', `a time stamp or what belongs to it could not be read (${bytes})`, name)
    return
  }
  const fd = createFresh(join(to, newName))
  writeAllSync(fd, bytes, 0)
  fsyncSync(fd)
  closeSync(fd)
  // the copy gets the time of its source, and with equal times it need not be read again
  utimesSync(join(to, newName), source.mtime, source.mtime)
  renameSync(join(to, newName), join(to, name))
}

function isAsItWas(path: string, copied: string, source: Stats): boolean {
  const known = lstatSync(copied)
  if (source.isFile() && known.size === source.size && known.mtimeMs === source.mtimeMs) return true
  const bytes = bytesOf(path)
  return typeof bytes !== 'string' && bytes.equals(readRegularSync(copied, longest))
}

function bytesOf(path: string): Buffer | string {
  try {
    return readRegularSync(path, longest)
  } catch (error) {
    if (
      hasCode(error, 'EACCES') ||
      hasCode(error, 'ENOTREGULAR') ||
      hasCode(error, 'EFBIG') ||
      hasCode(error, 'EIO')
    )
      return String((error as NodeJS.ErrnoException).code)
    throw error
  }
}
