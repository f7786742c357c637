/**
 * Whether a stored record is one that the receiver could have written: strict JSON, the contract, the normal form, the
 * place it is in, and for Scenarios the id that its content gives. Each complaint is a sentence without stored values.
 */

import type { FieldError, JsonObject } from '../../../contracts/contract.ts'
import { contracts } from '../../../contracts/index.ts'
import type { AcceptedRecord, Member } from '../../../contracts/record.ts'
import { accept } from '../../http/accept.ts'
import { intake } from '../../http/intake.ts'
import { canonicalBytes } from '../../storage/canonical.ts'
import { parseReceipt, recordId } from '../../storage/records-file.ts'

export type Place = { readonly addon: string; readonly slug: string }

const rawMember = 'g1_tx_hash_raw'
const mostTold = 5

/** A line of a records file, without its comma. */
export function judgeLine(line: Buffer, place: Place): string[] {
  const read = intake(line)
  if (!read.ok) return [unreadable(read)]
  const receipt = parseReceipt(line)
  if (!receipt) return ['does not end in a receipt of the right shape']
  const { receipt: _receipt, node_token_hash, [rawMember]: raw, ...sent } = read.value
  const { record, complaints } = judgeEnvelope(sent, read.found, place)
  if (typeof node_token_hash !== 'string' || !/^[0-9a-f]{64}$/.test(node_token_hash)) {
    complaints.push('has no node_token_hash of 64 lower-case hexadecimal digits')
  }
  if (raw !== undefined && (typeof raw !== 'string' || sent.g1_tx_hash !== null)) {
    complaints.push(`has a ${rawMember} that the receiver would not have written`)
  }
  if (record) complaints.push(...normalForm(record.members, read.value))
  if (recordId(read.value) !== receipt.id) complaints.push('its content does not give the id in its receipt')
  return complaints
}

/** What is stored is what would be stored if it were sent again, in that order; below the top level the order is free. */
function normalForm(members: readonly Member[], stored: JsonObject): string[] {
  const changed = members.filter(
    ([name, value]) =>
      value !== stored[name] && !canonicalBytes(value).equals(canonicalBytes(stored[name] ?? null)),
  )
  const expected = members.flatMap(([name]) =>
    name === 'g1_tx_hash' && Object.hasOwn(stored, rawMember) ? [name, rawMember] : [name],
  )
  return [
    ...changed.map(([name]) => `its ${name} is not in normal form`),
    ...(sameOrder([...expected, 'node_token_hash', 'receipt'], stored)
      ? []
      : ['its members are not in the order in which the receiver writes them']),
  ]
}

/** Names that are integers come first in every object of JavaScript, so the expected ones go through one, too. */
function sameOrder(names: readonly string[], stored: JsonObject): boolean {
  const expected = Object.keys(Object.fromEntries(names.map((name) => [name, true])))
  const found = Object.keys(stored)
  return expected.length === found.length && expected.every((name, index) => name === found[index])
}

/** A file of vs01 or dsc01. */
export function judgeFile(bytes: Buffer, place: Place, participant: string): string[] {
  const read = intake(bytes)
  if (!read.ok) return [unreadable(read)]
  const { receipt, ...sent } = read.value
  const { complaints } = judgeEnvelope(sent, read.found, place)
  if (read.value.participant_id !== participant)
    complaints.push('its participant_id is not the name of the file')
  if (!isOverwriteReceipt(receipt) || Object.keys(read.value).at(-1) !== 'receipt') {
    complaints.push('does not end in a receipt with the time it was received')
  }
  if (bytes.at(-1) !== 10) complaints.push('does not end in a line feed')
  return complaints
}

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

/** Pointers name members, and members may have been sent by anybody: `plain` is applied where they are printed. */
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
