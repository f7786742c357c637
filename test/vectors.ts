/** The vectors of the contracts, as they are published: what is sent, and the verdict. */
import { readFileSync } from 'node:fs'
import { type Contract, fileNameOf, type JsonObject } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'

export type Vector = {
  readonly name: string
  readonly envelope?: JsonObject
  /** Sent in place of an envelope: bytes that no JSON encoder writes. */
  readonly body?: string
  readonly token_sha256?: string
  /** The JSON Schema alone gives another verdict. */
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
