/** Ğ1 addresses. Loaded only when one is printed, because the library takes longer to load than all other code of the auditor's tool. */
import { encodeAddress } from '@polkadot/util-crypto'

const g1Prefix = 4450

export function g1Address(publicKey: Uint8Array): string {
  return encodeAddress(publicKey, g1Prefix)
}
