/**
 * blake2b-256 in plain JavaScript, from the library that @polkadot/util-crypto itself is built on: so the page in a browser
 * has it without that package's WebAssembly, and a content digest is the same wherever it is made.
 */
import { blake2b } from '@noble/hashes/blake2'
import { hexFromBytes } from './hex.ts'

/** Of bytes only: given a text, the library would hash the text. */
export function blake2b256(bytes: Uint8Array): string {
  return hexFromBytes(blake2b256Bytes(bytes))
}

export function blake2b256Bytes(bytes: Uint8Array): Uint8Array {
  return blake2b(bytes, { dkLen: 32 })
}
