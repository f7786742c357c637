/**
 * The envelope of a Substrate extrinsic: length, version, signer, signature, the extensions that Ğ1 signs with, call.
 *
 *   signed, version 4   0x84 · MultiAddress · MultiSignature · era · nonce · tip · (metadata hash mode) · call
 *   bare, 4 and 5       0x04 or 0x05 · call                               (inherents, such as the time of a block)
 *   general, version 5  0x45 · extensions that only the chain's metadata explains · call
 *
 * The bytes do not say which extensions a chain has, so a signed one yields a candidate for each of the two forms that Ğ1
 * has had; a call is believed only when it ends exactly where the extrinsic ends. The signature is not checked here: its
 * payload holds the genesis hash and the runtime version, and the chain checked it when it took the extrinsic in.
 */
import { Malformed, type Reader, reader } from './scale.ts'

export type Extrinsic =
  | { readonly kind: 'signed'; readonly signer: Uint8Array; readonly calls: readonly Uint8Array[] }
  | { readonly kind: 'bare'; readonly call: Uint8Array }
  | { readonly kind: 'unreadable'; readonly why: string }

const signatureLengths = [64, 64, 65] // ed25519, sr25519, ecdsa

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
  const length = signatureLengths[from.byte()]
  if (length === undefined) throw new Malformed('a signature of an unknown kind')
  from.take(length)
  skipEra(from)
  from.compact() // nonce
  from.compact() // tip
  const rest = from.rest()
  const withMode = rest[0] === 0 || rest[0] === 1 ? [rest.subarray(1)] : []
  return { kind: 'signed', signer, calls: [...withMode, rest] }
}

/** A MultiAddress that holds a public key; the other forms name an account by an index that only the chain knows. */
export function accountId(from: Reader): Uint8Array {
  const form = from.byte()
  if (form !== 0 && form !== 3) throw new Malformed('an address that is not a public key')
  return from.take(32)
}

function skipEra(from: Reader): void {
  if (from.byte() !== 0) from.byte()
}
