/**
 * `list.<sha256>`: the copies of one association, one JSON object a line, in this order: lines of copies, pieces, files by name.
 * The manifest names each list by its hash, so the signature over the manifest covers every list.
 *
 * Lists are written and read a line at a time, because an association may have hundreds of thousands of files.
 */

import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { isHash } from '../records/line.ts'
import { createFresh } from './directory.ts'
import { copyName, listName, pieceName } from './layout.ts'
import { isWholeFile } from './names.ts'

/** A line of copies: append-only records that were copied without a break. A roll-back of the data directory begins a new one. */
export type LineEntry = {
  readonly line: number
  readonly records: number
  /** How many bytes of the records file were copied, its closing not counted. */
  readonly bytes: number
  /** SHA-256 of the line of the last record. Through the chain it stands for all records before. */
  readonly last_sha256: string
  /** When the line was begun. */
  readonly begun: string
  /** The stamp that the records file had when it was last read to its end, or ''. */
  readonly source: string
}

export type PieceEntry = {
  readonly line: number
  readonly piece: number
  readonly bytes: number
  readonly sha256: string
  readonly stamp: string
}

export type FileEntry = {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
  /** The stamps (`stamp.ts`) of the file in the data directory and of its copy. */
  readonly source: string
  readonly stamp: string
  /** The file is no longer in the data directory. */
  readonly missing?: true
}

export type ListEntry =
  | { readonly kind: 'line'; readonly of: LineEntry }
  | { readonly kind: 'piece'; readonly of: PieceEntry }
  | { readonly kind: 'file'; readonly of: FileEntry }

const bufferBytes = 64 * 1024
const newName = 'list.new'

/** Writes a list; `close` gives it its name. A short list that has not changed is not written at all. */
export class ListWriter {
  readonly #directory: string
  readonly #hash = createHash('sha256')
  #fd: number | undefined
  #waiting: string[] = []
  #length = 0

  constructor(directory: string) {
    this.#directory = directory
  }

  add(entry: ListEntry): void {
    const text = `${JSON.stringify({ kind: entry.kind, ...entry.of })}\n`
    this.#waiting.push(text)
    this.#hash.update(text)
    this.#length += text.length
    if (this.#length >= bufferBytes) this.#flush()
  }

  #flush(): void {
    this.#fd ??= createFresh(join(this.#directory, newName))
    const bytes = Buffer.from(this.#waiting.join(''))
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at)
    this.#waiting = []
    this.#length = 0
  }

  /** Gives the hash of the list. `before` is the hash of the old list. The list is on disk after the sync before the manifest. */
  close(before: string | undefined): string {
    const sha256 = this.#hash.digest('hex')
    if (sha256 === before) {
      this.abandon()
      return sha256
    }
    this.#flush()
    closeSync(this.#fd!)
    this.#fd = undefined
    renameSync(join(this.#directory, newName), join(this.#directory, listName(sha256)))
    return sha256
  }

  abandon(): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
    unlinkSync(join(this.#directory, newName))
  }
}

/** The name of the copy that an entry is about; undefined for an entry that is about none. */
export function copyNameOf(entry: ListEntry): string | undefined {
  if (entry.kind === 'piece') return pieceName(entry.of)
  return entry.kind === 'file' ? copyName(entry.of) : undefined
}

/** A list is not what the manifest says, or not a list that this program writes. */
export class NotTheList extends Error {
  override readonly name = 'NotTheList'
}

/** Reads the list to its end and compares the hash. */
export function verifyList(directory: string, sha256: string): void {
  for (const _ of chunksOf(join(directory, listName(sha256)), sha256)) {
    // the hash is compared at the end
  }
}

/** The entries of a list. They may be relied on only when the generator has ended without an error, which compares the hash. */
export function* readList(directory: string, sha256: string, addon: string): Generator<ListEntry> {
  let rest = ''
  for (const chunk of chunksOf(join(directory, listName(sha256)), sha256)) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() as string
    for (const line of lines) yield entryOf(line, addon)
  }
  if (rest !== '') throw new NotTheList('a list does not end in a line feed')
}

/** Decodes Latin-1, where a chunk may end anywhere; a list is ASCII. */
function* chunksOf(path: string, sha256: string): Generator<string> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw new NotTheList('a list is not a regular file')
    const hash = createHash('sha256')
    const buffer = Buffer.allocUnsafe(Math.min(bufferBytes, stat.size + 1))
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      hash.update(buffer.subarray(0, count))
      yield buffer.toString('latin1', 0, count)
    }
    if (hash.digest('hex') !== sha256) throw new NotTheList('a list is damaged')
  } finally {
    closeSync(fd)
  }
}

function entryOf(text: string, addon: string): ListEntry {
  try {
    const { kind, ...of } = JSON.parse(text)
    if (kind === 'line' && isLine(of)) return { kind, of }
    if (kind === 'piece' && isPiece(of)) return { kind, of }
    if (kind === 'file' && isFile(of, addon)) return { kind, of }
  } catch {
    // The error below reports this.
  }
  throw new NotTheList('a list holds something that this program does not know')
}

const stamp = /^(\d+ \d+ -?\d+ -?\d+)?$/
export const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

function isLine({ line, records, bytes, last_sha256, source }: LineEntry): boolean {
  return isCount(line) && isCount(records) && isCount(bytes) && isHash(last_sha256) && stamp.test(source)
}

function isPiece({ line, piece, bytes, sha256, stamp: of }: PieceEntry): boolean {
  return isCount(line) && isCount(piece) && isCount(bytes) && isHash(sha256) && stamp.test(of)
}

function isFile({ name, bytes, sha256, source, stamp: of }: FileEntry, addon: string): boolean {
  const isNamed = isWholeFile(addon, name) && isCount(bytes)
  return isNamed && isHash(sha256) && stamp.test(source) && stamp.test(of)
}
