/**
 * Decodes the envelope of a Substrate extrinsic: length, version, signer, signature, the extensions that Ğ1 signs with, call.
 *
 *   signed, version 4   0x84 · MultiAddress · MultiSignature · era · nonce · tip · (metadata hash mode) · call
 *   bare, 4 and 5       0x04 or 0x05 · call                               (inherents, such as the time of a block)
 *   general, version 5  0x45 · extensions that only the chain's metadata explains · call
 *
 * The bytes do not say which extensions a chain has. So a signed extrinsic gives a candidate for each of the two forms that Ğ1
 * has had, and a call counts only when it ends exactly where the extrinsic ends. The other bytes that the signature covers are
 * kept for `signature.ts`.
 */
import { Malformed, type Reader, reader } from './scale.ts'

export type Signed = {
  readonly kind: 'signed'
  readonly signer: Uint8Array
  readonly scheme: 'ed25519' | 'sr25519' | 'ecdsa'
  readonly signature: Uint8Array
  /** Undefined for an extrinsic that is valid for ever. */
  readonly era: Era | undefined
  /** Era, nonce and tip as they stand in the extrinsic; the mode of the metadata hash follows where the form has one. */
  readonly extensions: Uint8Array
  /** One candidate for each form that Ğ1 has had: with and without the mode of the metadata hash. */
  readonly forms: readonly { readonly mode: number | undefined; readonly call: Uint8Array }[]
}

/**
 * The extrinsic is valid for `period` blocks. Its first valid block follows from `phase` and the block that holds it
 * (`birthOf`).
 */
export type Era = { readonly period: number; readonly phase: number }

export type Extrinsic =
  | Signed
  | { readonly kind: 'bare'; readonly call: Uint8Array }
  | { readonly kind: 'unreadable'; readonly why: string }

const schemes = [
  { scheme: 'ed25519', length: 64 },
  { scheme: 'sr25519', length: 64 },
  { scheme: 'ecdsa', length: 65 },
] as const

export function decodeExtrinsic(bytes: Uint8Array): Extrinsic {
  try {
    return decode(bytes)
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'unreadable', why: error.message }
    throw error
  }
}

function decode(bytes: Uint8Array): Extrinsic {
  const outer = reader(bytes)
  const inner = reader(outer.bytes())
  outer.end()
  const version = inner.byte()
  if (version === 0x04 || version === 0x05) return { kind: 'bare', call: inner.rest() }
  if (version === 0x84) return signed(inner)
  if (version === 0x45)
    throw new Malformed(
      'a general transaction (version 5), whose extensions only the metadata of the chain explains',
    )
  throw new Malformed(`an extrinsic of version byte ${version}`)
}

function signed(from: Reader): Extrinsic {
  const signer = accountId(from)
  const form = schemes[from.byte()]
  if (form === undefined) throw new Malformed('a signature of an unknown kind')
  const signature = from.take(form.length)
  const start = from.at()
  const era = readEra(from)
  from.compact() // nonce
  from.compact() // tip
  const extensions = from.since(start)
  const rest = from.rest()
  const mode = rest[0]
  const withMode = mode === 0 || mode === 1 ? [{ mode, call: rest.subarray(1) }] : []
  const forms = [...withMode, { mode: undefined, call: rest }]
  return { kind: 'signed', signer, scheme: form.scheme, signature, era, extensions, forms }
}

/** Reads a MultiAddress that holds a public key. The other forms name an account by an index that only the chain can resolve. */
export function accountId(from: Reader): Uint8Array {
  const form = from.byte()
  if (form !== 0 && form !== 3) throw new Malformed('an address that is not a public key')
  return from.take(32)
}

function readEra(from: Reader): Era | undefined {
  const first = from.byte()
  if (first === 0) return undefined
  const encoded = first | (from.byte() << 8)
  const period = 2 << (encoded % 16)
  return { period, phase: (encoded >> 4) * Math.max(period >> 12, 1) }
}
