/**
 * The content digest of a record, which a wallet may put into the comment of the transfer as `scn01:<64 hex>`: blake2b-256 over
 * the RFC 8785 form of the record. Members that exist only after the payment (`g1_tx_hash`, `submitted_at`) and members that
 * the receiver adds are left out, so that a wallet can compute the digest before it pays.
 */
import type { JsonObject } from '../../../contracts/contract.ts'
import { canonicalBytes } from '../../records/canonical.ts'
import { blake2b256 } from './blake2b.ts'

export function contentDigest(record: JsonObject): string {
  const {
    g1_tx_hash: _hash,
    g1_tx_hash_raw: _raw,
    submitted_at: _submitted,
    node_token_hash: _token,
    receipt: _receipt,
    ...content
  } = record
  return blake2b256(canonicalBytes(content))
}
