/**
 * The copies of append-only records: pieces of at least 16 MiB, each of whole records, and one piece that is still growing. A full
 * piece never changes again. So a run reads at most the growing piece, a flipped byte costs the repair of one piece, and a program that
 * copies the directory to another machine sends each piece once.
 */

import { createHash, type Hash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
} from 'node:fs'
import { join } from 'node:path'
import { nameOf, type RecordPath } from '../records/layout.ts'
import { truncateSync, writeAllSync } from '../storage/files/durable-file.ts'
import { createFresh } from './directory.ts'
import { directoryOf, pieceName } from './layout.ts'
import type { PieceEntry } from './list.ts'
import type { BackupRun } from './run.ts'
import { stampOf } from './stamp.ts'

const fullPiece = 16 * 1024 * 1024
const bufferBytes = 1024 * 1024

/** The bytes of the records file between two offsets; undefined when the file does not have them. */
export type SourceRange = (from: number, until: number) => Promise<Buffer | undefined>

/** Checks every piece: reads and compares the touched ones and those that are due, and makes a damaged piece anew. */
export async function checkPieces(
  run: BackupRun,
  place: RecordPath,
  pieces: readonly PieceEntry[],
  source: SourceRange,
): Promise<PieceEntry[]> {
  const checked: PieceEntry[] = []
  let from = 0
  for (const piece of pieces) {
    if (checked.at(-1)?.line !== piece.line) from = 0
    checked.push(await checkPiece(run, place, piece, () => source(from, from + piece.bytes)))
    from += piece.bytes
    await run.turn(place)
  }
  return checked
}

async function checkPiece(
  run: BackupRun,
  place: RecordPath,
  piece: PieceEntry,
  source: () => Promise<Buffer | undefined>,
): Promise<PieceEntry> {
  const path = join(directoryOf(run.backup, place), pieceName(piece))
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  const isDue = run.scrub.due(`${nameOf(place)}/${pieceName(piece)}`, piece.bytes)
  if (stat && run.trustsStamps && !isDue && piece.stamp === stampOf(stat)) return piece
  if (stat?.isFile() && isGood(run, path, piece)) return { ...piece, stamp: stampOf(stat) }
  const bytes = await source()
  if (bytes && createHash('sha256').update(bytes).digest('hex') === piece.sha256) {
    run.findings.tell(
      nameOf(place),
      'mended',
      `${pieceName(piece)} in the backup was damaged or gone; it was made anew`,
    )
    return { ...piece, stamp: rewrite(run, path, bytes) }
  }
  const nowhere = 'is damaged or gone in the backup, and the data directory does not have it either'
  run.findings.tell(nameOf(place), 'damaged', `${pieceName(piece)} ${nowhere}`)
  return { ...piece, stamp: '' }
}

function isGood(run: BackupRun, path: string, piece: PieceEntry): boolean {
  run.counts.checked += piece.bytes
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    return hashOf(fd, piece.bytes)?.digest('hex') === piece.sha256
  } catch {
    return false
  } finally {
    closeSync(fd)
  }
}

/** The hash of the first `bytes` bytes, to be continued; undefined when the file has fewer. */
function hashOf(fd: number, bytes: number): Hash | undefined {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(bufferBytes, bytes)))
  for (let at = 0; at < bytes; ) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, bytes - at), at)
    if (count === 0) return undefined
    hash.update(buffer.subarray(0, count))
    at += count
  }
  return hash
}

function rewrite(run: BackupRun, path: string, bytes: Uint8Array): string {
  const fd = createFresh(`${path}.new`)
  try {
    writeAllSync(fd, bytes, 0)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.new`, path)
  run.counts.written += bytes.length
  return stampOf(lstatSync(path, { bigint: true }))
}

/** Appends verified records to a line of copies. Bytes that a list names are never written over. */
export class PieceWriter {
  readonly #run: BackupRun
  readonly #place: RecordPath
  readonly #line: number
  readonly #full: PieceEntry[]
  #open: { readonly piece: number; readonly fd: number; readonly hash: Hash; bytes: number } | undefined
  #waiting: Uint8Array[] = []
  #length = 0

  /** `pieces` are the pieces that the line has so far, all of them good. */
  constructor(run: BackupRun, place: RecordPath, line: number, pieces: readonly PieceEntry[]) {
    this.#run = run
    this.#place = place
    this.#line = line
    this.#full = [...pieces]
    const last = this.#full.at(-1)
    if (!last || last.bytes >= fullPiece) return
    this.#full.pop()
    const fd = openSync(this.#path(last.piece), constants.O_RDWR | constants.O_NOFOLLOW)
    const hash = hashOf(fd, last.bytes)
    if (hash?.copy().digest('hex') !== last.sha256) {
      closeSync(fd)
      throw new Error(`${pieceName(last)} changed after it was compared`)
    }
    // cuts off the bytes that a killed run has written behind the listed ones
    truncateSync(fd, last.bytes)
    this.#open = { piece: last.piece, fd, hash, bytes: last.bytes }
  }

  #path(piece: number): string {
    return join(directoryOf(this.#run.backup, this.#place), pieceName({ line: this.#line, piece }))
  }

  /** Adds one record and the separator before it. */
  add(separator: string, record: Uint8Array): void {
    this.#waiting.push(Buffer.from(separator), Buffer.from(record))
    this.#length += separator.length + record.length
    if (this.#length < bufferBytes) return
    this.#flush()
    if (this.#open!.bytes >= fullPiece) this.#seal()
  }

  #flush(): void {
    if (this.#length === 0) return
    const piece = (this.#full.at(-1)?.piece ?? 0) + 1
    this.#open ??= { piece, fd: createFresh(this.#path(piece)), hash: createHash('sha256'), bytes: 0 }
    const bytes = Buffer.concat(this.#waiting)
    writeAllSync(this.#open.fd, bytes, this.#open.bytes)
    this.#open.hash.update(bytes)
    this.#open.bytes += bytes.length
    this.#run.counts.written += bytes.length
    this.#waiting = []
    this.#length = 0
  }

  #seal(): void {
    const open = this.#open
    if (!open) return
    this.#open = undefined
    try {
      fsyncSync(open.fd)
      const stamp = stampOf(fstatSync(open.fd, { bigint: true }))
      const { piece, bytes, hash } = open
      this.#full.push({ line: this.#line, piece, bytes, sha256: hash.digest('hex'), stamp })
    } finally {
      closeSync(open.fd)
    }
  }

  /** Gives all pieces of the line, written out. */
  close(): PieceEntry[] {
    this.#flush()
    this.#seal()
    return this.#full
  }

  abandon(): void {
    if (this.#open) closeSync(this.#open.fd)
    this.#open = undefined
  }
}
