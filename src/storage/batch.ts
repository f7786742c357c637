/** Turns waiting envelopes into the bytes of one write, chained. Pure: no disk, no clock. */
import type { AcceptedRecord } from '../../contracts/record.ts'
import { memberText } from './canonical.ts'
import {
  brace,
  closing,
  comma,
  type LineReceipt,
  type Position,
  receiptText,
  sha256Hex,
} from './records-file.ts'

/** An envelope as far as it can be written before its place in the chain is known. */
export type Draft = {
  readonly id: string
  /** The line up to the receipt: `{"addon":…,"node_token_hash":"…",`. */
  readonly opening: Buffer
}

export type Written = LineReceipt & { readonly offset: number; readonly sha256: string }

export type Batch = {
  /** Goes to `position.end` of the file, over the closing (to 0 when the file is empty). */
  readonly bytes: Buffer
  readonly records: readonly Written[]
  readonly next: Position
}

/**
 * The values are written in canonical form, so each is printed and encoded once: for the line in the order of the contract,
 * for the id in the order of the names.
 */
export function draftOf(record: AcceptedRecord): Draft {
  const members = record.members.map(memberText)
  const texts = [...members, ...record.unhashed.map(memberText)].map(({ text }) => text)
  const { bytes, starts } = encoded(texts)
  const byName = members
    .map(({ name }, index) => ({ name, index }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const canonical = byName.map(({ index }) => bytes.subarray(starts[index], starts[index + 1]))
  return { id: idOf(canonical), opening: Buffer.from(bytes) }
}

/** Room for most records; used anew by each, since drafting one is not interrupted. */
const lineRoom = Buffer.allocUnsafe(256 * 1024)
const idRoom = Buffer.allocUnsafe(256 * 1024)
const openBrace = 123
/** UTF-8 bytes a UTF-16 code unit can take. */
const widest = 3

function roomFor(most: number, room: Buffer): Buffer {
  return most <= room.length ? room : Buffer.allocUnsafe(most)
}

/** `{`, and each text with a comma behind it; `starts` has one entry more than there are texts. */
function encoded(texts: readonly string[]): { bytes: Buffer; starts: readonly number[] } {
  const most = texts.reduce((sum, { length }) => sum + length * widest + 1, 1)
  const bytes = roomFor(most, lineRoom)
  bytes[0] = openBrace
  let at = 1
  const starts = [at]
  for (const text of texts) {
    at += bytes.write(text, at)
    bytes[at++] = comma
    starts.push(at)
  }
  return { bytes: bytes.subarray(0, at), starts }
}

/** SHA-256 of the canonical object; each of its members comes with a comma behind it, the last of which is the brace. */
function idOf(members: readonly Buffer[]): string {
  const bytes = roomFor(
    members.reduce((sum, { length }) => sum + length, 1),
    idRoom,
  )
  bytes[0] = openBrace
  let at = 1
  for (const member of members) at += member.copy(bytes, at)
  bytes[at - 1] = brace
  return sha256Hex(bytes.subarray(0, at))
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
  const bytes = Buffer.allocUnsafe(room)
  const start = fileIsEmpty ? 0 : from.end
  let at = fileIsEmpty ? bytes.write('[', 0, 'latin1') : 0
  let position = from
  const records: Written[] = []
  for (const { id, opening } of drafts) {
    at += bytes.write(position.count === 0 ? '\n' : ',\n', at, 'latin1')
    const line = at
    const receipt = {
      id,
      sequence: position.count + 1,
      received_at: receivedAt,
      previous_sha256: position.sha256,
    }
    at += opening.copy(bytes, at)
    at += bytes.write(receiptText(receipt), at, 'latin1')
    const sha256 = sha256Hex(bytes.subarray(line, at))
    records.push({ ...receipt, offset: start + line, sha256 })
    position = { count: receipt.sequence, end: start + at, sha256 }
  }
  at += bytes.write(closing, at, 'latin1')
  return { bytes: bytes.subarray(0, at), records, next: position }
}
