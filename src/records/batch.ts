/** Turns waiting envelopes into the bytes of one write, as lines of the chain. Uses neither the disk nor the clock. */
import type { AcceptedRecord, Member } from '../../contracts/record.ts'
import { putAscii } from './bytes.ts'
import { CanonicalWriter } from './canonical.ts'
import { closeBrace, comma, type Line, type LineReceipt, openBrace, receiptText } from './line.ts'
import { closing, type Position } from './position.ts'
import { sha256Hex } from './sha256.ts'

/** The part of a record that can be computed before its place in the chain is known. */
export type Draft = {
  readonly id: string
  /** The line up to the receipt: `{"addon":…,"node_token_hash":"…",`. */
  readonly opening: Uint8Array
}

export type Written = LineReceipt & { readonly offset: number; readonly sha256: string }

export type Batch = {
  /** To be written at `position.end` of the file, over the closing; at offset 0 when the file is empty. */
  readonly bytes: Uint8Array
  readonly records: readonly Written[]
  readonly next: Position
}

/**
 * The id and the opening of a line. Each value is printed and encoded once, in canonical form: first for the line, in the
 * contract's order. Behind the line the same bytes are copied in the order of the names, and the id is the hash of that copy.
 */
export function draftOf(record: AcceptedRecord): Draft {
  writer.clear()
  writer.byte(openBrace)
  const members = record.members.map(written)
  record.unhashed.forEach(written)
  const end = writer.length
  members.sort((a, b) => (a.name < b.name ? -1 : 1))
  writer.byte(openBrace)
  for (const { start, end } of members) writer.again(start, end)
  const canonical = writer.from(end)
  // replaces the comma behind the last member
  canonical[canonical.length - 1] = closeBrace
  return { id: sha256Hex(canonical), opening: writer.copy(0, end) }
}

/** Has room for most records. All drafts share it, because nothing interrupts the drafting of a record. */
const writer = new CanonicalWriter(256 * 1024)

/** Writes one member with a comma behind it, and gives the offsets of both. */
function written([name, value]: Member): { name: string; start: number; end: number } {
  const start = writer.length
  writer.member(name, value)
  writer.byte(comma)
  return { name, start, end: writer.length }
}

/** The receipt at the end of a line is at most this long: five names, two hashes, a time and a sequence. */
const receiptRoom = 320

/** `fileIsEmpty`: the file has no opening bracket yet, so the batch begins with one. */
export function assemble(
  from: Position,
  fileIsEmpty: boolean,
  drafts: readonly Draft[],
  receivedAt: string,
): Batch {
  const room = drafts.reduce((sum, draft) => sum + draft.opening.length + receiptRoom, 16)
  const bytes = new Uint8Array(room)
  const start = fileIsEmpty ? 0 : from.end
  let at = fileIsEmpty ? putAscii(bytes, '[', 0) : 0
  let position = from
  const records: Written[] = []
  for (const { id, opening } of drafts) {
    at = putAscii(bytes, position.count === 0 ? '\n' : ',\n', at)
    const line = at
    const receipt = {
      id,
      sequence: position.count + 1,
      received_at: receivedAt,
      previous_sha256: position.sha256,
    }
    bytes.set(opening, at)
    at = putAscii(bytes, receiptText(receipt), at + opening.length)
    const sha256 = sha256Hex(bytes.subarray(line, at))
    records.push({ ...receipt, offset: start + line, sha256 })
    position = { count: receipt.sequence, end: start + at, sha256 }
  }
  at = putAscii(bytes, closing, at)
  return { bytes: bytes.subarray(0, at), records, next: position }
}

/** `assemble`, to be completed by the owner of the file, who knows the position. */
export function batchOf(drafts: readonly Draft[], receivedAt: string) {
  return (from: Position, isEmpty: boolean): Batch => assemble(from, isEmpty, drafts, receivedAt)
}

/** A batch of lines that another store has written, receipts included. The first line has to continue the chain at `from`. */
export function continued(
  from: Position,
  fileIsEmpty: boolean,
  lines: readonly Omit<Line, 'offset'>[],
): Batch {
  const bytes = new Uint8Array(lines.reduce((sum, { line }) => sum + line.length + 2, 16))
  const start = fileIsEmpty ? 0 : from.end
  let at = fileIsEmpty ? putAscii(bytes, '[', 0) : 0
  let position = from
  const records: Written[] = []
  for (const { line, receipt, sha256 } of lines) {
    at = putAscii(bytes, position.count === 0 ? '\n' : ',\n', at)
    records.push({ ...receipt, offset: start + at, sha256 })
    bytes.set(line, at)
    at += line.length
    position = { count: receipt.sequence, end: start + at, sha256 }
  }
  at = putAscii(bytes, closing, at)
  return { bytes: bytes.subarray(0, at), records, next: position }
}
