/**
 * Copies what was appended to a records file since the last time, while a receiver appends. Bytes that are in the copy are
 * read and compared with their hash, and not written again.
 *
 * A file that is not a continuation of what was copied before is not copied: then one of the two was altered, and the copy
 * may be the one that is right.
 */
import { createHash, type Hash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Snapshot, withSnapshot } from '../audit/snapshot-file.ts'
import { writeAllSync } from '../storage/durable-file.ts'
import { closing, emptyPosition, follow, type Position } from '../storage/records-file.ts'
import type { RecordsEntry } from './manifest.ts'
import { type Place, recordsFile } from './source.ts'

/** What was copied of a records file, and the hash up to its end, to be continued in the same run. */
export type Copied = { readonly entry: RecordsEntry; readonly hash?: Hash }

export type CopiedRecords = {
  readonly copied: Copied | undefined
  readonly finding?: string
  readonly written: number
}

const chunkBytes = 1024 * 1024

export async function copyRecords(
  data: string,
  target: string,
  place: Place,
  before: Copied | undefined,
): Promise<CopiedRecords> {
  try {
    const copy = (source: Snapshot) => copySnapshot(source, recordsFile(target, place), place, before)
    return await withSnapshot(recordsFile(data, place), copy)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return before ? keep(before, 'its records file is missing') : nothing
  }
}

async function copySnapshot(
  { file: source, size, end, closed }: Snapshot,
  path: string,
  place: Place,
  before: Copied | undefined,
): Promise<CopiedRecords> {
  // the first record of an association is on its way
  if (size === 0 && !before) return nothing
  const from = before ? positionOf(before.entry) : emptyPosition
  const position = await follow(source, from, end, () => {})
  // nothing new, and not as it ends at rest: a torn end stands behind the records that are known
  const isTorn = !closed && end > from.end
  if (before && position.count === from.count && !isTorn && !(await endsAt(source, from, end)))
    return keep(before, 'its records file does not continue what was backed up before: altered, or shortened')
  const copy = await extend(source, path, position.end, before)
  if (!copy) return keep(before, 'the backup of its records is damaged: make a new one in another directory')
  const { hash, written } = copy
  const entry: RecordsEntry = {
    ...place,
    records: position.count,
    bytes: position.end,
    sha256: hash.copy().digest('hex'),
    last_sha256: position.sha256,
  }
  const copied = { entry, hash }
  if (closed && position.end === end) return { copied, written }
  const finding = `only the first ${position.count} records are whole; what follows does not verify and is left out`
  return { copied, finding, written }
}

/** What is in the backup stays as it is. */
function keep(before: Copied | undefined, why: string): CopiedRecords {
  return { copied: before, finding: `${why}; the backup keeps what it has`, written: 0 }
}

const nothing: CopiedRecords = { copied: undefined, written: 0 }

function positionOf({ records, bytes, last_sha256 }: RecordsEntry): Position {
  return { count: records, end: bytes, sha256: last_sha256 }
}

/** Nothing follows the position, and what is right before it is the end of a record. */
async function endsAt(file: FileHandle, { end, count }: Position, until: number): Promise<boolean> {
  if (until !== end) return false
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, end - 1)
  return bytesRead === 1 && buffer.toString('latin1') === (count === 0 ? '[' : '}')
}

/** Undefined when what was copied before is no longer what it was. */
async function extend(
  source: FileHandle,
  path: string,
  end: number,
  before: Copied | undefined,
): Promise<{ hash: Hash; written: number } | undefined> {
  mkdirSync(dirname(path), { recursive: true })
  const known = before?.entry.bytes ?? 0
  const copy = await open(path, before ? 'r+' : 'w+').catch(absent)
  if (!copy) return undefined
  try {
    const hash = before?.hash?.copy() ?? (await hashOf(copy, known))
    if (before && hash.copy().digest('hex') !== before.entry.sha256) return undefined
    let at = known
    for await (const chunk of chunks(source, known, end)) {
      hash.update(chunk)
      writeAllSync(copy.fd, chunk, at)
      at += chunk.length
    }
    const written = at - known
    // with its closing, so that the copy can be read as it is
    if (written > 0) {
      writeAllSync(copy.fd, Buffer.from(closing), end)
      await copy.truncate(end + closing.length)
      await copy.datasync()
    }
    return { hash, written }
  } finally {
    await copy.close()
  }
}

async function hashOf(file: FileHandle, until: number): Promise<Hash> {
  const hash = createHash('sha256')
  for await (const chunk of chunks(file, 0, until)) hash.update(chunk)
  return hash
}

/** The bytes between two offsets; fewer when the file ends before. Each is valid until the next is asked for. */
export async function* chunks(file: FileHandle, from: number, until: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(Math.max(Math.min(chunkBytes, until - from), 0))
  for (let at = from; at < until; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, until - at), at)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
    at += bytesRead
  }
}

function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
