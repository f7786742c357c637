/**
 * Copies the files that the receiver replaces as a whole. The receiver renames each new file into its place, so every reading
 * gives one whole state of the file.
 *
 * Invariants
 *   1. A copy is replaced only by a file that `verify` accepts as a record. If the file is empty, cut, of another participant or a
 *      link, the copy stays, and this is reported.
 *   2. A copy that was touched since it was made is read and compared. If it differs from the signed list, it is made anew from the
 *      data directory, provided that the data directory still has the same bytes.
 *   3. Memory does not grow with the number of files: the old list is read and the new one is written a line at a time, in the order
 *      of the names, which are sorted in runs (`sorted-names.ts`).
 */

import { closeSync, lstatSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { judgeFile } from '../audit/verify/content.ts'
import { nameOf, type RecordPath } from '../records/layout.ts'
import { longestLine } from '../records/lines.ts'
import { sha256Hex } from '../records/sha256.ts'
import { writeAllSync } from '../storage/files/durable-file.ts'
import { NotRegular, readRegularSync, TooLong } from '../storage/files/regular-file.ts'
import { createFresh } from './directory.ts'
import type { BackupFindingKind } from './findings.ts'
import { copyName, directoryOf } from './layout.ts'
import type { FileEntry } from './list.ts'
import { participantOf, ruleOf } from './names.ts'
import type { BackupRun } from './run.ts'
import { settledStamp, stampOf } from './stamp.ts'

/** `names` are the files in the data directory, in order; `before` is the old list, in the same order. */
export async function copyFiles(
  run: BackupRun,
  place: RecordPath,
  names: Iterable<string>,
  before: Iterator<FileEntry>,
  onEntry: (entry: FileEntry) => void,
): Promise<void> {
  let old = before.next()
  for (const name of names) {
    for (; !old.done && old.value.name < name; old = before.next())
      keepMissing(run, place, old.value, onEntry)
    const known = !old.done && old.value.name === name ? old.value : undefined
    if (known) old = before.next()
    const entry = copyFile(run, place, name, known)
    if (entry) onEntry(entry)
    await run.turn(place)
  }
  for (; !old.done; old = before.next()) {
    keepMissing(run, place, old.value, onEntry)
    await run.turn(place)
  }
}

const keeps = 'the backup keeps the copy it has'

function keepMissing(
  run: BackupRun,
  place: RecordPath,
  old: FileEntry,
  onEntry: (entry: FileEntry) => void,
): void {
  if (run.forgetMissing) return
  tell(
    run,
    place,
    old.name,
    'missing',
    `no longer in the data directory; ${keeps} (--forget-missing removes it)`,
  )
  onEntry({ ...checked(run, place, old, undefined), source: '', missing: true })
}

type FoundFile =
  | { readonly bytes: Buffer; readonly sha256: string; readonly source: string }
  | { readonly why: string; readonly kind?: BackupFindingKind }

function copyFile(
  run: BackupRun,
  place: RecordPath,
  name: string,
  old: FileEntry | undefined,
): FileEntry | undefined {
  const path = join(run.data, place.addon, place.association_slug, name)
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (old && stat && old.source === stampOf(stat))
    return checked(run, place, old, () => read(path, place, name))
  const found = read(path, place, name)
  if ('why' in found) return keptOr(run, place, name, old, found)
  const source = stat ? settledStamp(stat, run.now.getTime()) : ''
  const { bytes, sha256 } = found
  if (old?.sha256 === sha256) {
    const { missing: _, ...same } = checked(run, place, old, () => found)
    return { ...same, source }
  }
  const entry = { name, bytes: bytes.length, sha256, source, stamp: '' }
  return { ...entry, stamp: write(run, place, entry, bytes) }
}

/** Reports that a file of the data directory cannot be copied. */
function keptOr(
  run: BackupRun,
  place: RecordPath,
  name: string,
  old: FileEntry | undefined,
  { why, kind }: { why: string; kind?: BackupFindingKind },
): FileEntry | undefined {
  if (!old) {
    tell(run, place, name, kind ?? 'not-held', `${why}; it is not in the backup`)
    return undefined
  }
  tell(run, place, name, 'kept', `${why}; ${keeps}`)
  return { ...checked(run, place, old, undefined), source: '' }
}

function read(path: string, place: RecordPath, name: string): FoundFile {
  let bytes: Buffer
  try {
    bytes = readRegularSync(path, longestLine)
  } catch (error) {
    if (error instanceof NotRegular) return { why: `${error.kind} in the place of a file`, kind: 'left-out' }
    if (error instanceof TooLong) return { why: 'longer than anything the receiver stores' }
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    return code === 'ENOENT' ? { why: 'went away while it was read' } : { why: `cannot be read (${code})` }
  }
  if (!isRecord(bytes, place, name)) return { why: 'no record that the receiver stores (see verify)' }
  return { bytes, sha256: sha256Hex(bytes), source: '' }
}

/** Whether the bytes may be copied. A torn end that recovery kept may hold any bytes. */
function isRecord(bytes: Buffer, place: RecordPath, name: string): boolean {
  if (ruleOf(place.addon) === 'append-only') return true
  const judged = judgeFile(bytes, { addon: place.addon, slug: place.association_slug }, participantOf(name)!)
  return judged.length === 0
}

/** Checks the copy of an entry: reads and compares it if it was touched or is due, and makes it anew if it is not good. */
function checked(
  run: BackupRun,
  place: RecordPath,
  entry: FileEntry,
  source: (() => FoundFile) | undefined,
): FileEntry {
  const path = join(directoryOf(run.backup, place), copyName(entry))
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  const isDue = run.scrub.due(`${nameOf(place)}/${entry.name}`, entry.bytes)
  if (stat && run.trustsStamps && !isDue && entry.stamp === stampOf(stat)) return entry
  if (stat && isGood(run, path, entry)) return { ...entry, stamp: stampOf(stat) }
  const found = source?.()
  if (found && 'bytes' in found && found.sha256 === entry.sha256) {
    tell(run, place, entry.name, 'mended', 'the copy in the backup was damaged or gone; it was made anew')
    return { ...entry, stamp: write(run, place, entry, found.bytes) }
  }
  const nowhere = 'the copy is damaged or gone, and the data directory does not have it either'
  tell(run, place, entry.name, 'damaged', nowhere)
  return { ...entry, stamp: '' }
}

function isGood(run: BackupRun, path: string, { bytes, sha256 }: FileEntry): boolean {
  run.counts.checked += bytes
  try {
    return sha256Hex(readRegularSync(path, bytes)) === sha256
  } catch {
    return false
  }
}

/** Writes a copy and gives its stamp. The copies are synced together, before the manifest names them. */
function write(
  run: BackupRun,
  place: RecordPath,
  entry: Pick<FileEntry, 'name' | 'sha256'>,
  bytes: Buffer,
): string {
  const directory = directoryOf(run.backup, place)
  const path = join(directory, copyName(entry))
  const temporary = join(directory, 'copy.new')
  const fd = createFresh(temporary)
  try {
    writeAllSync(fd, bytes, 0)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  run.counts.written += bytes.length
  return stampOf(lstatSync(path, { bigint: true }))
}

function tell(run: BackupRun, place: RecordPath, name: string, kind: BackupFindingKind, what: string): void {
  run.findings.tell(nameOf(place), kind, what, `${nameOf(place)}/${name}`)
}
