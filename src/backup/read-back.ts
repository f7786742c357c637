/**
 * Reads one association out of a backup that somebody may have altered. Every byte is compared with the signed list before it is
 * used, and the chain of append-only records is followed to its end.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { follow } from '../records/chain.ts'
import { headOf, headText } from '../records/head.ts'
import { headName, recordsName } from '../records/layout.ts'
import { type ByteSource, longestLine } from '../records/lines.ts'
import { closing, emptyPosition } from '../records/position.ts'
import { sha256Hex } from '../records/sha256.ts'
import { readRange } from '../storage/files/byte-source.ts'
import { openRegular, readRegularSync } from '../storage/files/regular-file.ts'
import { copyName, directoryOf, pieceName } from './layout.ts'
import { type FileEntry, type LineEntry, NotTheList, type PieceEntry, readList, verifyList } from './list.ts'
import type { AssociationEntry } from './manifest.ts'

/** The backup is damaged or was altered; nothing was restored. */
export class BackupRefused extends Error {
  override readonly name = 'BackupRefused'
}

/** Receives the files that were read and compared. */
export type Sink = {
  /** A file of the association, whole. */
  put(name: string, bytes: Uint8Array): void
  /** Begins a file that is written in parts; `end` ends it. */
  begin(name: string): { add(bytes: Uint8Array): void; end(): void }
}

export type Took = { readonly missing: number }

/**
 * Throws `BackupRefused` with the path of a copy that was changed. `onBytes` is called with the number of bytes that were
 * read.
 */
export async function readBack(
  backup: string,
  of: AssociationEntry,
  sink: Sink | undefined,
  onBytes: (count: number) => Promise<void>,
): Promise<Took> {
  const directory = directoryOf(backup, of)
  const lines: LineEntry[] = []
  const pieces: PieceEntry[] = []
  let missing = 0
  let isRead = false
  const records = async (): Promise<void> => {
    const line = lines.at(-1)
    if (isRead || !line) return
    isRead = true
    const own = pieces.filter((piece) => piece.line === line.line)
    await readRecords(directory, line, own, sink, onBytes)
  }
  try {
    // The list is compared first, because with an altered list good copies would be called damaged.
    verifyList(directory, of.list)
    for (const { kind, of: entry } of readList(directory, of.list, of.addon)) {
      if (kind === 'line') lines.push(entry)
      else if (kind === 'piece') pieces.push(entry)
      else {
        await records()
        readFile(directory, entry, sink)
        if (entry.missing) missing++
        await onBytes(entry.bytes)
      }
    }
    await records()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof NotTheList) throw new BackupRefused(`${directory}: ${error.message}`)
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new BackupRefused(`${directory}: its list is missing`)
    throw error
  }
  return { missing }
}

function readFile(directory: string, entry: FileEntry, sink: Sink | undefined): void {
  const path = join(directory, copyName(entry))
  const bytes = present(path, () => readRegularSync(path, longestLine))
  const isSame = bytes.length === entry.bytes && sha256Hex(bytes) === entry.sha256
  if (!isSame) throw new BackupRefused(`${path} is damaged`)
  sink?.put(entry.name, bytes)
}

async function readRecords(
  directory: string,
  line: LineEntry,
  pieces: readonly PieceEntry[],
  sink: Sink | undefined,
  onBytes: (count: number) => Promise<void>,
): Promise<void> {
  const file = sink?.begin(recordsName)
  for (const piece of pieces) {
    await readPiece(directory, piece, (bytes) => file?.add(bytes))
    await onBytes(piece.bytes)
  }
  file?.add(Buffer.from(closing))
  file?.end()
  const position = await follow(sourceOf(directory, pieces), emptyPosition, line.bytes, () => {})
  const isTheEnd = position.end === line.bytes && position.sha256 === line.last_sha256
  if (!isTheEnd || position.count !== line.records)
    throw new BackupRefused(
      `${join(directory, recordsName)}: the chain breaks after record ${position.count}`,
    )
  sink?.put(headName, Buffer.from(headText(headOf(position))))
}

const chunkBytes = 1024 * 1024

async function readPiece(
  directory: string,
  piece: PieceEntry,
  onChunk: (bytes: Buffer) => void,
): Promise<void> {
  const path = join(directory, pieceName(piece))
  const file = await presentLater(path, openRegular(path))
  try {
    const hash = createHash('sha256')
    for (let at = 0; at < piece.bytes; ) {
      const bytes = await presentLater(path, readRange(file, at, Math.min(at + chunkBytes, piece.bytes)))
      if (bytes.length === 0) throw new BackupRefused(`${path} is damaged: it is too short`)
      hash.update(bytes)
      onChunk(bytes)
      at += bytes.length
    }
    if (hash.digest('hex') !== piece.sha256) throw new BackupRefused(`${path} is damaged`)
  } finally {
    await file.close()
  }
}

/** The pieces as one source of bytes, as if they were still one file. */
function sourceOf(directory: string, pieces: readonly PieceEntry[]): ByteSource {
  return {
    async read(from, until) {
      let start = 0
      for (const piece of pieces) {
        if (from < start + piece.bytes) {
          const end = Math.min(until, start + piece.bytes)
          const file = await openRegular(join(directory, pieceName(piece)))
          try {
            return await readRange(file, from - start, end - start)
          } finally {
            await file.close()
          }
        }
        start += piece.bytes
      }
      return new Uint8Array()
    },
  }
}

function present<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw explained(path, error)
  }
}

function presentLater<T>(path: string, reading: Promise<T>): Promise<T> {
  return reading.catch((error) => {
    throw explained(path, error)
  })
}

/** Turns an error about the backup into a `BackupRefused`. An error about this process, such as no permission, stays as it is. */
function explained(path: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return new BackupRefused(`${path} is missing`)
  if (code === 'ENOTREGULAR' || code === 'EFBIG')
    return new BackupRefused(`${path} is damaged: no file that a backup holds`)
  if (code === 'EIO') return new BackupRefused(`${path} cannot be read: the disk reports an error`)
  return error
}
