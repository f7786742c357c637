/** Turns waiting envelopes into the bytes of one write, chained. Pure: no disk, no clock. */
import type { AcceptedRecord, Member } from '../../contracts/record.ts'
import { putAscii } from './bytes.ts'
import { CanonicalWriter } from './canonical.ts'
import { closeBrace, comma, type Line, type LineReceipt, openBrace, receiptText } from './line.ts'
import { closing, type Position } from './position.ts'
import { sha256Hex } from './sha256.ts'

/** An envelope as far as it can be written before its place in the chain is known. */
export type Draft = {
  readonly id: string
  /** The line up to the receipt: `{"addon":…,"node_token_hash":"…",`. */
  readonly opening: Uint8Array
}

export type Written = LineReceipt & { readonly offset: number; readonly sha256: string }

export type Batch = {
  /** Goes to `position.end` of the file, over the closing (to 0 when the file is empty). */
  readonly bytes: Uint8Array
  readonly records: readonly Written[]
  readonly next: Position
}

/**
 * The values are written in canonical form, so each is printed and encoded once: for the line in the order of the contract,
 * and behind it again, for the id, in the order of the names.
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
  // in place of the last member's comma
  canonical[canonical.length - 1] = closeBrace
  return { id: sha256Hex(canonical), opening: writer.copy(0, end) }
}

/** Room for most records; used anew by each, since drafting one is not interrupted. */
const writer = new CanonicalWriter(256 * 1024)

/** Writes one with a comma behind it, and tells where it is. */
function written([name, value]: Member): { name: string; start: number; end: number } {
  const start = writer.length
  writer.member(name, value)
  writer.byte(comma)
  return { name, start, end: writer.length }
}

/** The end of a line is at most this long: five names, two hashes, a time and a sequence. */
const receiptRoom = 320

/** `fileIsEmpty`: the opening bracket has to be written, too. */
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

/** `assemble` for whoever knows the position. */
export function batchOf(drafts: readonly Draft[], receivedAt: string) {
  return (from: Position, isEmpty: boolean): Batch => assemble(from, isEmpty, drafts, receivedAt)
}

/** The same for lines that another store has written, receipts included. They have to continue `from`. */
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
