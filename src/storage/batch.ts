/** Turns waiting envelopes into the bytes of one write, chained. Pure: no disk, no clock. */
import type { AcceptedRecord } from '../../contracts/record.ts'
import { canonicalObject, memberText } from './canonical.ts'
import { closing, type LineReceipt, type Position, receiptText, sha256Hex } from './records-file.ts'

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

/** The values are written in canonical form, so each is printed once, for the line and for its id. */
export function draftOf(record: AcceptedRecord): Draft {
  const members = record.members.map(memberText)
  const opening = [...members, ...record.unhashed.map(memberText)].map(({ text }) => text).join(',')
  return { id: sha256Hex(canonicalObject(members)), opening: Buffer.from(`{${opening},`) }
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
