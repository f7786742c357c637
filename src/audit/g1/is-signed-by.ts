/** Signatures of Ğ1. Loaded only when one is checked, because the library takes longer to load than all other code of the auditor's tool. */
import { ed25519Verify, secp256k1Verify, sr25519Verify } from '@polkadot/util-crypto'

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
