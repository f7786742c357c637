/**
 * The id of a record (SPEC 4): the SHA-256 of the RFC 8785 form of the normalised envelope. The contract decides which members
 * belong to the envelope. Writing and checking an id both ask its `unhashedNames`, so there is only one rule.
 */

import { contractNamed, type Json, type JsonObject, unhashedNames } from '../../contracts/contract.ts'
import { isObject } from '../../contracts/envelope.ts'
import { contracts } from '../../contracts/index.ts'
import { utf8 } from './bytes.ts'
import { canonicalBytes } from './canonical.ts'
import type { LineReceipt } from './line.ts'
import { sha256Hex } from './sha256.ts'

/**
 * The ids that a stored record may have, computed anew from its content. One, when its contract is known. A record of a
 * contract that this version does not know (written by a later one) may have been hashed by either rule; it is another
 * version's to judge and not to be taken for damage.
 */
export function recordIds(record: JsonObject): readonly string[] {
  return hashedForms(record).map(sha256Hex)
}

/** The bytes of which one has the id for its SHA-256. */
export function hashedForms(record: JsonObject): readonly Uint8Array[] {
  const contract = contractNamed(contracts, record.addon, record.contract_version)
  if (contract) return [formWithout(record, unhashedNames(contract))]
  return unhashedRules.map((names) => formWithout(record, names))
}

const unhashedRules: readonly (readonly string[])[] = [
  ...new Map(
    [...contracts.values()].flat().map((contract) => {
      const names = unhashedNames(contract)
      return [names.join(' '), names] as const
    }),
  ).values(),
]

function formWithout(record: JsonObject, names: readonly string[]): Uint8Array {
  const kept = Object.keys(record).filter((name) => name !== 'receipt' && !names.includes(name))
  return canonicalBytes(Object.fromEntries(kept.sort().map((name) => [name, record[name] as Json])))
}

/** Whether a line is JSON whose content has the id that its receipt names. What a torn write leaves is not. */
export function isWhole(line: Uint8Array, receipt: LineReceipt): boolean {
  try {
    const record = JSON.parse(utf8(line)) as unknown
    if (!isObject(record)) return false
    return recordIds(record as JsonObject).includes(receipt.id)
  } catch {
    return false
  }
}
