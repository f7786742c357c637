/**
 * Judges whether the receiver could have written a stored record: strict JSON, the contract, the normal form, the place of the
 * record, and for append-only records the id. Each complaint is a sentence that repeats no stored value.
 */

import { contractNamed, type FieldError, type JsonObject } from '../../../contracts/contract.ts'
import { contracts } from '../../../contracts/index.ts'
import type { AcceptedRecord, Member } from '../../../contracts/record.ts'
import { accept } from '../../envelope/accept.ts'
import { hasByteOrderMark, intake } from '../../envelope/intake.ts'
import { isEqual } from '../../records/bytes.ts'
import { canonicalBytes } from '../../records/canonical.ts'
import { hashedForms } from '../../records/id.ts'
import { carriageReturn, isHash, lineFeed, parseReceipt } from '../../records/line.ts'
import { sha256All } from '../../records/sha256.ts'
import { addedNames, type Place, paymentMember } from '../addons.ts'

const rawMember = 'g1_tx_hash_raw'
const mostTold = 5

/** The result for one line of a records file. */
export type Judgement = {
  readonly complaints: string[]
  /** The payment that the record names, with the record's sequence. */
  readonly payment?: { readonly hash: string; readonly sequence: number }
  /** The id in the receipt, and the forms of the content; one of the forms must have the id as its SHA-256. */
  readonly id?: { readonly claimed: string; readonly forms: readonly Uint8Array[] }
}

/** The lines of a records file, without their commas; with the ids, which are computed of all of them at once. */
export async function judgeLines(lines: readonly Uint8Array[], place: Place): Promise<readonly Judgement[]> {
  const judged = lines.map((line) => judgeLine(line, place))
  const hashes = await sha256All(judged.flatMap(({ id }) => id?.forms ?? []))
  let at = 0
  for (const { id, complaints } of judged) {
    if (!id) continue
    const found = hashes.slice(at, at + id.forms.length)
    at += id.forms.length
    if (!found.includes(id.claimed)) complaints.push('its content does not give the id in its receipt')
  }
  return judged
}

function judgeLine(line: Uint8Array, place: Place): Judgement {
  const read = intake(line, true)
  if (!read.ok) return { complaints: [unreadable(read)] }
  const receipt = parseReceipt(line)
  if (!receipt) return { complaints: ['does not end in a receipt of the right shape'] }
  const complaints = judgeRecord(read.value, read.found, place)
  const hash = Object.hasOwn(read.value, paymentMember) ? read.value[paymentMember] : undefined
  const id = { claimed: receipt.id, forms: hashedForms(read.value) }
  if (typeof hash !== 'string') return { complaints, id }
  return { complaints, id, payment: { hash, sequence: receipt.sequence } }
}

function judgeRecord(stored: JsonObject, found: readonly FieldError[], place: Place): string[] {
  const added = addedNames(contractNamed(contracts, stored.addon, stored.contract_version))
  const { [rawMember]: raw, ...others } = stored
  const sent = Object.fromEntries(
    Object.entries(others).filter(([name]) => name !== 'receipt' && !added.includes(name)),
  )
  const { record, complaints } = judgeEnvelope(sent, found, place)
  for (const name of added) {
    const value = stored[name]
    if (!isHash(value)) complaints.push(`has no ${name} of 64 lower-case hexadecimal digits`)
  }
  if (raw !== undefined && (typeof raw !== 'string' || sent[paymentMember] !== null))
    complaints.push(`has a ${rawMember} that the receiver would not have written`)
  if (record) for (const complaint of normalForm(record.members, added, stored)) complaints.push(complaint)
  return complaints
}

/** Compares a record with what would be stored if it were sent again, in the same order. Below the top level any order is right. */
function normalForm(members: readonly Member[], added: readonly string[], stored: JsonObject): string[] {
  const changed = members.filter(
    ([name, value]) =>
      value !== stored[name] &&
      JSON.stringify(value) !== JSON.stringify(stored[name]) &&
      !isEqual(canonicalBytes(value), canonicalBytes(stored[name] ?? null)),
  )
  const expected = members.flatMap(([name]) =>
    name === paymentMember && Object.hasOwn(stored, rawMember) ? [name, rawMember] : [name],
  )
  return [
    ...changed.slice(0, mostTold).map(([name]) => `its ${name} is not in normal form`),
    ...(sameOrder([...expected, ...added, 'receipt'], stored)
      ? []
      : ['its members are not in the order in which the receiver writes them']),
  ]
}

/**
 * Compares the order of names. An object of JavaScript puts integer names first, so the expected names go through an object,
 * too.
 */
function sameOrder(names: readonly string[], stored: JsonObject): boolean {
  const expected = Object.keys(Object.fromEntries(names.map((name) => [name, true])))
  const found = Object.keys(stored)
  return expected.length === found.length && expected.every((name, index) => name === found[index])
}

/** Judges the file of one record, under an addon that keeps only the latest. */
export function judgeFile(bytes: Uint8Array, place: Place, participant: string): string[] {
  const layout = layoutOf(bytes)
  const read = intake(bytes, true)
  if (!read.ok) return [layout ?? unreadable(read)]
  const { receipt, ...sent } = read.value
  const { complaints } = judgeEnvelope(sent, read.found, place)
  if (read.value.participant_id !== participant)
    complaints.push('its participant_id is not the name of the file')
  if (!isOverwriteReceipt(receipt) || Object.keys(read.value).at(-1) !== 'receipt') {
    complaints.push('does not end in a receipt with the time it was received')
  }
  const isPrinted = bytes.length === utf8Length(`${JSON.stringify(read.value, null, 2)}\n`)
  if (layout) complaints.push(layout)
  else if (!isPrinted)
    complaints.push('is not printed as the receiver prints: another program printed it anew')
  return complaints
}

/** A change that another program made to the text of a file; undefined when no known change is found. */
function layoutOf(bytes: Uint8Array): string | undefined {
  if (hasByteOrderMark(bytes))
    return 'begins with a byte order mark (BOM), which an editor puts before a text'
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    return 'is in UTF-16: an editor saved it as "Unicode"'
  // JSON writes a carriage return in a text as `\r`, so this byte is none of the record's
  if (bytes.includes(carriageReturn))
    return 'has the line ends of Windows (CRLF): an editor or a transfer changed them'
  return bytes.length > 0 && bytes.at(-1) !== lineFeed
    ? 'does not end in a line feed: it was cut, or an editor took it away'
    : undefined
}

const utf8Length = (text: string): number => new TextEncoder().encode(text).length

type Judged = { readonly record?: AcceptedRecord; readonly complaints: string[] }

function judgeEnvelope(sent: JsonObject, found: readonly FieldError[], place: Place): Judged {
  const accepted = accept(sent, found, { tokenSha256: '', now: new Date() }, contracts)
  if (!accepted.ok) return { complaints: told(accepted.errors) }
  const { record } = accepted
  const complaints: string[] = []
  if (record.addon !== place.addon) complaints.push('its addon is not the directory it is in')
  if (record.association_slug !== place.slug)
    complaints.push('its association_slug is not the directory it is in')
  return { record, complaints }
}

/** Complaints with their pointers. A pointer holds names that anybody may have sent; `plain` is applied when it is printed. */
function told(errors: readonly FieldError[]): string[] {
  const shown = errors.slice(0, mostTold).map(({ pointer, detail }) => `${pointer || 'it'} ${detail}`)
  return errors.length > mostTold ? [...shown, `and ${errors.length - mostTold} more`] : shown
}

function unreadable(read: { readonly detail: string; readonly errors?: readonly FieldError[] }): string {
  if (read.errors) return told(read.errors).join('; ')
  return 'is not one JSON object in UTF-8'
}

function isOverwriteReceipt(receipt: unknown): boolean {
  const { received_at, ...others } = (receipt ?? {}) as { received_at?: unknown }
  return (
    typeof received_at === 'string' &&
    !Number.isNaN(Date.parse(received_at)) &&
    Object.keys(others).length === 0
  )
}
