/** The published vectors of the contracts: an envelope, and the verdict on it. */
import { readFileSync } from 'node:fs'
import { type Contract, fileNameOf, type JsonObject } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'

export type Vector = {
  readonly name: string
  readonly envelope?: JsonObject
  /** A body that is sent instead of an envelope, because no JSON encoder writes such bytes. */
  readonly body?: string
  readonly token_sha256?: string
  /** Set when the JSON Schema alone gives another verdict. */
  readonly beyond_schema?: true
} & (
  | { readonly verdict: 'accepted'; readonly record: JsonObject; readonly warnings: readonly string[] }
  | { readonly verdict: 'refused'; readonly status: number; readonly pointers?: readonly string[] }
)

export function vectorsOf(contract: Contract): readonly Vector[] {
  const file = new URL(`../contracts/vectors/${fileNameOf(contract)}.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8'))
}

export const allVectors: readonly Vector[] = [...contracts.values()].flat().flatMap(vectorsOf)

export function bodyOf({ body, envelope }: Vector): string {
  return body ?? JSON.stringify(envelope)
}
