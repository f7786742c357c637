/** Whether an extrinsic is the one that a record names, and whether it names that record. Offline; needs only the bytes. */
import type { JsonObject } from '../../../contracts/contract.ts'
import { amountText, effectsOf } from './call.ts'
import { contentDigest } from './digest.ts'
import { decodeExtrinsic } from './extrinsic.ts'
import { blake2b256, g1Address } from './hash.ts'

type Payment = { readonly call: string; readonly payee: string; readonly amount: string }

export type Proof = {
  readonly extrinsic_hash: string
  /** blake2b-256 of the extrinsic is the record's `g1_tx_hash`. */
  readonly hash_matches: boolean
  readonly digest: string
  /** The comment names this record's digest, another one, or there is no `scn01:` comment (or it could not be read). */
  readonly comment: 'this record' | 'another record' | 'none' | 'call not recognised'
  readonly payer: string | null
  readonly payments: readonly Payment[]
  /** Why nothing is said about the call, when nothing is. */
  readonly unread: string | null
}

const comment = /^scn01:([0-9a-f]{64})$/i

export function proveExtrinsic(bytes: Uint8Array, record: JsonObject): Proof {
  const extrinsic_hash = blake2b256(bytes)
  const digest = contentDigest(record)
  const facts = { extrinsic_hash, hash_matches: extrinsic_hash === record.g1_tx_hash, digest }
  return { ...facts, ...reading(bytes, digest) }
}

type Reading = Pick<Proof, 'comment' | 'payer' | 'payments' | 'unread'>

function reading(bytes: Uint8Array, digest: string): Reading {
  const extrinsic = decodeExtrinsic(bytes)
  if (extrinsic.kind !== 'signed') {
    const unread =
      extrinsic.kind === 'bare' ? 'nobody signed it: it is an inherent, not a payment' : extrinsic.why
    return { comment: 'call not recognised', payer: null, payments: [], unread }
  }
  const payer = g1Address(extrinsic.signer)
  const effects = effectsOf(extrinsic.calls)
  if (!effects) return { comment: 'call not recognised', payer, payments: [], unread: 'call not recognised' }
  const payments = effects.transfers.map((transfer) => ({
    call: transfer.call,
    payee: g1Address(transfer.payee),
    amount: amountText(transfer),
  }))
  return { comment: commentIn(effects.remarks, digest), payer, payments, unread: null }
}

/** The digest is compared as a number: a wallet may write its digits in capitals. */
function commentIn(remarks: readonly Uint8Array[], digest: string): Proof['comment'] {
  const named = remarks
    .map((remark) => comment.exec(Buffer.from(remark).toString('latin1'))?.[1]?.toLowerCase())
    .filter((hex) => hex !== undefined)
  if (named.length === 0) return 'none'
  return named.some((hex) => `0x${hex}` === digest) ? 'this record' : 'another record'
}
