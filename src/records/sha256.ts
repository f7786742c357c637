/**
 * The hash of the whole format. The one file of this room that knows where it runs; the page in a browser brings its own in
 * its place (`src/audit/page/sha256.ts`).
 */
import { hash } from 'node:crypto'

/** SHA-256 as 64 lower-case hex digits; a text counts by its UTF-8 bytes. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex')
}

/** The same of many at once, for who has many: in a browser, only hashing that is not waited for one by one is fast. */
export async function sha256All(list: readonly Uint8Array[]): Promise<readonly string[]> {
  return list.map(sha256Hex)
}
