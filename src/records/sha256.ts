/**
 * SHA-256 under Node. This is the only file of the room that depends on where it runs. The page in a browser is built with
 * `src/audit/page/sha256.ts` in its place.
 */
import { hash } from 'node:crypto'

/** SHA-256 as 64 lower-case hex digits; a text is hashed as UTF-8. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex')
}

/** The hashes of many texts at once. In a browser, hashing is fast only when the caller does not wait for each hash. */
export async function sha256All(list: readonly Uint8Array[]): Promise<readonly string[]> {
  return list.map(sha256Hex)
}
