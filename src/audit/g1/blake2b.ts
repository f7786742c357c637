/**
 * blake2b-256 in plain JavaScript, from the library on which @polkadot/util-crypto is built. So the page in a browser needs no
 * WebAssembly, and the tool and the page compute the same digests.
 */
import { blake2b } from '@noble/hashes/blake2'
import { hexFromBytes } from './hex.ts'

/** The hash of bytes, with `0x` before it. Given a text, the library would hash the characters of the text. */
export function blake2b256(bytes: Uint8Array): string {
  return hexFromBytes(blake2b256Bytes(bytes))
}

export function blake2b256Bytes(bytes: Uint8Array): Uint8Array {
  return blake2b(bytes, { dkLen: 32 })
}
