/**
 * Writes and reads one line of `records.json` (SPEC 4). The receiver, its recovery, the auditor's tool and the page share this
 * code.
 *
 *   [
 *   {…,"receipt":{"id":"<64 hex>","sequence":1,"received_at":"<24>","previous_sha256":"<64 zeros>"}},
 *   {…,"receipt":{"id":"<64 hex>","sequence":2,"received_at":"<24>","previous_sha256":"<SHA-256 of line 1>"}}
 *   ]
 *
 * A line's hash is over its bytes without the comma and the line feed. The receipt comes last and has a fixed shape, so a chain
 * is checked without parsing JSON: the hash of each line must stand in the receipt of the next line. The last line has no next
 * line, so `isWhole` checks it by its content.
 */
import { latin1 } from './bytes.ts'

export const lineFeed = 10
export const carriageReturn = 13
export const quote = 34
export const comma = 44
export const backslash = 92
export const openBracket = 91
export const closeBracket = 93
export const openBrace = 123
export const closeBrace = 125

export type LineReceipt = {
  readonly id: string
  readonly sequence: number
  readonly received_at: string
  readonly previous_sha256: string
}

/** A record found in the file. `line` is a view that is valid during the call only. */
export type Line = {
  readonly offset: number
  readonly line: Uint8Array
  readonly sha256: string
  readonly receipt: LineReceipt
}

/** The end of a line, from `"receipt":` on, all ASCII. */
export function receiptText(receipt: LineReceipt): string {
  return `"receipt":{"id":"${receipt.id}","sequence":${receipt.sequence},"received_at":"${receipt.received_at}","previous_sha256":"${receipt.previous_sha256}"}}`
}

/** The pattern of a hash as the format writes one. */
export const hex64 = '[0-9a-f]{64}'
const hash = new RegExp(`^${hex64}$`)

/** Whether a value is such a hash. */
export function isHash(value: unknown): value is string {
  return typeof value === 'string' && hash.test(value)
}

const tail = new RegExp(
  `"receipt":\\{"id":"(${hex64})","sequence":([1-9]\\d{0,15}),"received_at":"([0-9TZ:.-]{24})","previous_sha256":"(${hex64})"\\}\\}$`,
)
const longestTail = 256

/** The receipt at the end of a line, by its fixed shape; undefined when the line does not end in one. */
export function parseReceipt(line: Uint8Array): LineReceipt | undefined {
  const found = tail.exec(latin1(line.subarray(-longestTail)))
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
