/** Checks whether an extrinsic is the one that a record names, and whether it names that record. Needs only the bytes. */
import type { JsonObject } from '../../../contracts/contract.ts'
import { hex64 } from '../../records/line.ts'
import { blake2b256 } from './blake2b.ts'
import { amountText, effectsOf, knownSpecVersions } from './call.ts'
import { contentDigest } from './digest.ts'
import { decodeExtrinsic } from './extrinsic.ts'
import { type ChainFacts, checkSignature, noFacts, type SignatureVerdict } from './signature.ts'

type Payment = { readonly call: string; readonly payee: string; readonly amount: string }

export type Proof = {
  readonly extrinsic_hash: string
  /** blake2b-256 of the extrinsic is the record's `g1_tx_hash`. */
  readonly hash_matches: boolean
  readonly digest: string
  /** A reason to doubt the reading of the call; null when there is none. */
  readonly warning: string | null
  /** Whether the comment holds the digest of this record, another digest, or none; or the call could not be read. */
  readonly comment: 'this record' | 'another record' | 'none' | 'call not recognised'
  /** The account that the extrinsic names as its signer. `signature` says whether that account signed it. */
  readonly payer: string | null
  readonly signature: SignatureVerdict
  readonly payments: readonly Payment[]
  /** Why the call could not be read; null when it was read. */
  readonly unread: string | null
}

const comment = new RegExp(`^scn01:(${hex64})$`, 'i')

export async function proveExtrinsic(
  bytes: Uint8Array,
  record: JsonObject,
  chain: ChainFacts = noFacts,
): Promise<Proof> {
  const extrinsic_hash = blake2b256(bytes)
  const digest = contentDigest(record)
  const hash_matches = extrinsic_hash === record.g1_tx_hash
  const read = await reading(bytes, digest, chain)
  return { extrinsic_hash, hash_matches, digest, warning: warningOf(chain), ...read }
}

function warningOf({ specVersion }: ChainFacts): string | null {
  if (specVersion === undefined || knownSpecVersions.includes(specVersion)) return null
  const known = knownSpecVersions.join(' and ')
  return `spec version ${specVersion}: this tool knows the calls of ${known}. What follows may mean something else`
}

const unrecognised = {
  comment: 'call not recognised',
  signature: { verdict: 'not checked', why: 'what was signed could not be read' },
  payments: [],
} as const

type CallReading = Pick<Proof, 'comment' | 'payer' | 'signature' | 'payments' | 'unread'>

async function reading(bytes: Uint8Array, digest: string, chain: ChainFacts): Promise<CallReading> {
  const extrinsic = decodeExtrinsic(bytes)
  if (extrinsic.kind !== 'signed') {
    const unread =
      extrinsic.kind === 'bare' ? 'nobody signed it: it is an inherent, not a payment' : extrinsic.why
    return { ...unrecognised, payer: null, unread }
  }
  const { g1Address } = await import('./address.ts')
  const payer = g1Address(extrinsic.signer)
  const read = extrinsic.forms
    .map((form) => ({ form, effects: effectsOf(form.call) }))
    .find(({ effects }) => effects !== undefined)
  if (!read?.effects) return { ...unrecognised, payer, unread: 'call not recognised' }
  const { form, effects } = read
  const payments = effects.transfers.map((transfer) => ({
    call: transfer.call,
    payee: g1Address(transfer.payee),
    amount: amountText(transfer),
  }))
  return {
    comment: commentIn(effects.remarks, digest),
    payer,
    signature: await checkSignature(extrinsic, form, chain),
    payments,
    unread: null,
  }
}

/** Compares the digest in a comment without regard to case, because a wallet may write its digits in capitals. */
function commentIn(remarks: readonly Uint8Array[], digest: string): Proof['comment'] {
  const named = remarks
    .map((remark) => comment.exec(Buffer.from(remark).toString('latin1'))?.[1]?.toLowerCase())
    .filter((hex) => hex !== undefined)
  if (named.length === 0) return 'none'
  return named.some((hex) => `0x${hex}` === digest) ? 'this record' : 'another record'
}
