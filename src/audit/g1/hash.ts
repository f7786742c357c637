/** The functions that need @polkadot/util-crypto: signatures, and Ğ1 addresses. */

/**
 * Loads the library when a signature or an address is first asked for. It takes longer to start than all other code of the
 * auditor's tool, and most runs of a command do not need it.
 */
const library = () => import('@polkadot/util-crypto')

const g1Prefix = 4450

/** Also false when the signature or the key is malformed. */
export async function isSignedBy(
  scheme: 'ed25519' | 'sr25519' | 'ecdsa',
  message: Uint8Array,
  signature: Uint8Array,
  account: Uint8Array,
): Promise<boolean> {
  const { ed25519Verify, secp256k1Verify, sr25519Verify } = await library()
  try {
    if (scheme === 'ed25519') return ed25519Verify(message, signature, account)
    if (scheme === 'sr25519') return sr25519Verify(message, signature, account)
    return secp256k1Verify(message, signature, account, 'blake2')
  } catch {
    return false
  }
}

export async function g1Address(publicKey: Uint8Array): Promise<string> {
  const { encodeAddress } = await library()
  return encodeAddress(publicKey, g1Prefix)
}
