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
 * The ids that a stored record may have, computed anew from its content. A record of a known contract has one. A record of an
 * unknown contract was written by a later version, which may have used any of the known rules, so there is one id for each rule.
 * Such a record must not be taken for damage.
 */
export function recordIds(record: JsonObject): readonly string[] {
  return hashedForms(record).map(sha256Hex)
}

/** The byte sequences whose SHA-256 may be the id: one for each rule that may have been used. */
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

/** Whether a line is JSON whose content has the id that its receipt names. The line of a torn write is not. */
export function isWhole(line: Uint8Array, receipt: LineReceipt): boolean {
  try {
    const record = JSON.parse(utf8(line)) as unknown
    if (!isObject(record)) return false
    return recordIds(record as JsonObject).includes(receipt.id)
  } catch {
    return false
  }
}
