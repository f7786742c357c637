/**
 * Checks whether the payer signed an extrinsic. A signature covers the call, its extensions, and four facts that are not in the
 * bytes: the spec version and the transaction version of the runtime, the hash of the genesis block, and the hash of the block
 * in which the era of the extrinsic began (the genesis block for an extrinsic that is valid for ever). Without all four facts
 * there is no verdict.
 */
import { joined } from '../../records/bytes.ts'
import { blake2b256Bytes } from './blake2b.ts'
import type { Signed } from './extrinsic.ts'

export type ChainFacts = {
  readonly genesis: Uint8Array | undefined
  readonly specVersion: number | undefined
  readonly transactionVersion: number | undefined
  /** The hash of the block in which the era of the extrinsic began. */
  readonly eraBlock: Uint8Array | undefined
}

export const noFacts: ChainFacts = {
  genesis: undefined,
  specVersion: undefined,
  transactionVersion: undefined,
  eraBlock: undefined,
}

export type SignatureVerdict =
  | { readonly verdict: 'valid' | 'not valid' }
  | { readonly verdict: 'not checked'; readonly why: string }

/** In bytes. If the payload is longer, its hash is signed instead. */
const longestPayload = 256

/** `form` is the candidate of the extrinsic in which the call could be read. */
export async function checkSignature(
  { signer, scheme, signature, era, extensions }: Signed,
  form: Signed['forms'][number],
  { genesis, specVersion, transactionVersion, eraBlock }: ChainFacts,
): Promise<SignatureVerdict> {
  if (!genesis || specVersion === undefined || transactionVersion === undefined)
    return {
      verdict: 'not checked',
      why: 'the genesis hash, the spec version and the transaction version of the chain are needed (--genesis, --spec-version, --transaction-version, or --rpc)',
    }
  const birth = era ? eraBlock : genesis
  if (!birth)
    return {
      verdict: 'not checked',
      why: 'the hash of the block in which its era began is needed (--era-block, or --rpc)',
    }
  if (form.mode === 1) return { verdict: 'not checked', why: 'it is over a metadata hash, too' }
  const mode = form.mode === undefined ? [] : [form.mode]
  const noMetadataHash = form.mode === undefined ? [] : [0]
  const payload = joined([
    form.call,
    extensions,
    Uint8Array.from(mode),
    littleEndian(specVersion),
    littleEndian(transactionVersion),
    genesis,
    birth,
    Uint8Array.from(noMetadataHash),
  ])
  const message = payload.length > longestPayload ? blake2b256Bytes(payload) : payload
  const { isSignedBy } = await import('./is-signed-by.ts')
  return { verdict: isSignedBy(scheme, message, signature, signer) ? 'valid' : 'not valid' }
}

const littleEndian = (number: number): Uint8Array =>
  Uint8Array.of(number & 0xff, (number >>> 8) & 0xff, (number >>> 16) & 0xff, (number >>> 24) & 0xff)
