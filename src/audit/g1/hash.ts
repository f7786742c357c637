/** What needs @polkadot/util-crypto: blake2b-256 of bytes, and Ğ1 addresses. */
import { blake2AsU8a, encodeAddress } from '@polkadot/util-crypto'
import { hexFromBytes } from './hex.ts'

const g1Prefix = 4450

/** Of bytes only: given a text, the library would hash the text. */
export function blake2b256(bytes: Uint8Array): string {
  return hexFromBytes(blake2AsU8a(bytes, 256))
}

export function g1Address(publicKey: Uint8Array): string {
  return encodeAddress(publicKey, g1Prefix)
}
