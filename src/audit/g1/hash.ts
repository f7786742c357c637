/** The functions that need @polkadot/util-crypto: signatures, and Ğ1 addresses. */
import { ed25519Verify, encodeAddress, secp256k1Verify, sr25519Verify } from '@polkadot/util-crypto'

const g1Prefix = 4450

/** Also false when the signature or the key is malformed. */
export function isSignedBy(
  scheme: 'ed25519' | 'sr25519' | 'ecdsa',
  message: Uint8Array,
  signature: Uint8Array,
  account: Uint8Array,
): boolean {
  try {
    if (scheme === 'ed25519') return ed25519Verify(message, signature, account)
    if (scheme === 'sr25519') return sr25519Verify(message, signature, account)
    return secp256k1Verify(message, signature, account, 'blake2')
  } catch {
    return false
  }
}

export function g1Address(publicKey: Uint8Array): string {
  return encodeAddress(publicKey, g1Prefix)
}
