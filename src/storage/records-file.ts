/**
 * The format of `records.json` (SPEC 4) and how it is read: shared by the receiver, its recovery and the auditor's tool.
 *
 *   [
 *   {…,"receipt":{"id":"<64 hex>","sequence":1,"received_at":"<24>","previous_sha256":"<64 zeros>"}},
 *   {…,"receipt":{"id":"<64 hex>","sequence":2,"received_at":"<24>","previous_sha256":"<SHA-256 of line 1>"}}
 *   ]
 *
 * A line's hash is over its bytes without the comma and the line feed. Since the receipt comes last and has a fixed
 * shape, a chain is checked without parsing: the hash of each line must stand in the next one. The last line has no
 * successor to vouch for it; `isWhole` checks it by content.
 */
import { hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { Json, JsonObject } from '../../contracts/contract.ts'
import { canonicalBytes } from './canonical.ts'

export const noHash = '0'.repeat(64)
export const comma = 44
export const brace = 125
/** What a file at rest ends in. The next record is written over it. */
export const closing = '\n]\n'

/** A state of the file: `end` is the offset after the last record's `}`, or after `[` when there is none. */
export type Position = { readonly count: number; readonly end: number; readonly sha256: string }

export const emptyPosition: Position = { count: 0, end: 1, sha256: noHash }

export type LineReceipt = {
  readonly id: string
  readonly sequence: number
  readonly received_at: string
  readonly previous_sha256: string
}

/** A record found in the file. `line` is a view that is valid during the call only. */
export type Line = {
  readonly offset: number
  readonly line: Buffer
  readonly sha256: string
  readonly receipt: LineReceipt
}

export function sha256Hex(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex')
}

/** The end of a line, from `"receipt":` on. */
export function receiptText(receipt: LineReceipt): string {
  return `"receipt":{"id":"${receipt.id}","sequence":${receipt.sequence},"received_at":"${receipt.received_at}","previous_sha256":"${receipt.previous_sha256}"}}`
}

const hex64 = '([0-9a-f]{64})'
const tail = new RegExp(
  `"receipt":\\{"id":"${hex64}","sequence":([1-9]\\d{0,15}),"received_at":"([0-9TZ:.-]{24})","previous_sha256":"${hex64}"\\}\\}$`,
)
const longestTail = 256

/** The receipt at the end of a line, by its fixed shape; undefined when the line does not end in one. */
export function parseReceipt(line: Buffer): LineReceipt | undefined {
  const found = tail.exec(line.toString('latin1', Math.max(0, line.length - longestTail)))
  if (!found) return undefined
  const [, id, sequence, received_at, previous_sha256] = found as unknown as [
    string,
    string,
    string,
    string,
    string,
  ]
  return { id, sequence: Number(sequence), received_at, previous_sha256 }
}

/** The id of a stored record, computed anew from its content (SPEC 4: without `node_token_hash` and `receipt`). */
export function recordId(record: JsonObject): string {
  const { node_token_hash: _token, receipt: _receipt, ...envelope } = record
  return sha256Hex(canonicalBytes(envelope))
}

/** Whether a line is JSON whose content has the id that its receipt names. What a torn write leaves is not. */
export function isWhole(line: Buffer, receipt: LineReceipt): boolean {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line)
    const record = JSON.parse(text) as Json
    if (typeof record !== 'object' || record === null || Array.isArray(record)) return false
    return recordId(record as JsonObject) === receipt.id
  } catch {
    return false
  }
}

export const longestLine = 16 * 1024 * 1024
const chunkSize = 1024 * 1024

/** One record read at its offset, where only its own line is wanted. */
const recordChunk = 64 * 1024

/** The record that begins at `offset`; undefined when none does. */
export async function recordAt(
  file: FileHandle,
  offset: number,
  until: number,
): Promise<Omit<Line, 'offset'> | undefined> {
  let found: Omit<Line, 'offset'> | undefined
  const onLine: OnLine = (_offset, text) => {
    const line = text[text.length - 1] === comma ? text.subarray(0, -1) : text
    const receipt = parseReceipt(line)
    if (receipt) found = { line, sha256: sha256Hex(line), receipt }
    return false
  }
  await readLines(file, offset, until, onLine, recordChunk)
  return found
}

/** The bytes between two offsets; fewer when the file ends before. Not a part of a shared buffer. */
export async function readRange(file: FileHandle, from: number, until: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.alloc(Math.max(until - from, 0))
  let filled = 0
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, from + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

/** What is told of each line, without its line feed. Answering false ends the reading. */
type OnLine = (offset: number, text: Buffer) => boolean

/** Reads the lines between two offsets; the last may lack its line feed. Memory: three chunks, or one line if longer. */
export async function readLines(
  file: FileHandle,
  from: number,
  until: number,
  onLine: OnLine,
  chunk: number = chunkSize,
): Promise<void> {
  let begun: Buffer[] = [] // of a line whose end has not been read
  let length = 0 // of that
  let offset = from // where it begins
  for await (const bytes of chunks(file, from, until, chunk)) {
    let start = 0
    for (let feed = bytes.indexOf(10); feed !== -1; feed = bytes.indexOf(10, start)) {
      const rest = bytes.subarray(start, feed)
      const line = length === 0 ? rest : Buffer.concat([...begun, rest])
      if (!onLine(offset, line)) return
      offset += line.length + 1
      start = feed + 1
      begun = []
      length = 0
    }
    begun.push(Buffer.from(bytes.subarray(start)))
    length += bytes.length - start
    if (length >= longestLine) break
  }
  if (length > 0) onLine(offset, Buffer.concat(begun))
}

/**
 * What stands between two offsets, a chunk at a time. From the second on, the next one is being read while this one is
 * looked at: who wants a single line pays for one read, who wants them all does not wait. A chunk is valid until the next.
 */
async function* chunks(
  file: FileHandle,
  from: number,
  until: number,
  size: number,
): AsyncGenerator<Buffer, void> {
  if (until <= from) return
  const length = Math.min(size, until - from)
  let at = from
  const read = async (into: Buffer): Promise<Buffer> => {
    const { bytesRead } = await file.read(into, 0, Math.min(length, until - at), at)
    at += bytesRead
    return into.subarray(0, bytesRead)
  }
  let room = Buffer.allocUnsafe(length)
  yield await read(room)
  if (at >= until) return
  let spare = Buffer.allocUnsafe(length)
  let next: Promise<Buffer> | undefined = read(room)
  try {
    while (next) {
      const bytes: Buffer = await next
      if (bytes.length === 0) return
      ;[room, spare] = [spare, room]
      next = at < until ? read(room) : undefined
      yield bytes
    }
  } finally {
    // whoever called may close the file now
    await next?.catch(() => {})
  }
}

/**
 * Follows the chain from `from` and tells of each record whose place, sequence and previous hash are right.
 * Gives the position after the last of them; whether the file ends there as it should is for the caller to see.
 * `until` is the size without the closing: bytes before it never change, so an append that lands meanwhile is not seen.
 */
export async function follow(
  file: FileHandle,
  from: Position,
  until: number,
  onRecord: (found: Line) => void,
): Promise<Position> {
  let position = from
  let mayFollow = from.count === 0
  await readLines(file, from.end, until, (offset, text) => {
    const continued = text.length > 0 && text[text.length - 1] === comma
    if (offset === from.end) {
      // the rest of the line that the position is on: nothing after `[`, a comma after a record
      if (from.count === 0) return text.length === 0
      mayFollow = continued && text.length === 1
      return mayFollow
    }
    const line = continued ? text.subarray(0, -1) : text
    if (!mayFollow || line[line.length - 1] !== brace) return false
    const receipt = parseReceipt(line)
    if (receipt?.sequence !== position.count + 1 || receipt.previous_sha256 !== position.sha256) return false
    const sha256 = sha256Hex(line)
    position = { count: receipt.sequence, end: offset + line.length, sha256 }
    onRecord({ offset, line, sha256, receipt })
    mayFollow = continued
    return true
  })
  return position
}
