/**
 * SHA-256 in a browser. The bundle of the page has this file in the place of `records/sha256.ts`. Many texts at once are hashed by the browser,
 * which is ten times as fast as JavaScript but answers later. A single text is hashed by a library in JavaScript, which answers at once.
 */
import { sha256 } from '@noble/hashes/sha2'
import type { ByteSource } from '../../records/lines.ts'

export function sha256Hex(bytes: Uint8Array | string): string {
  return hexOf(sha256(bytes))
}

export async function sha256All(list: readonly Uint8Array[]): Promise<readonly string[]> {
  const digests = await Promise.all(
    list.map((bytes) => crypto.subtle.digest('SHA-256', bytes as BufferSource)),
  )
  return digests.map((digest) => hexOf(new Uint8Array(digest)))
}

/** The SHA-256 of a whole file, read piece by piece, so that memory stays flat. */
export async function sha256Of({ read }: ByteSource, size: number): Promise<string> {
  if (size <= atOnce) return (await sha256All([await read(0, size)]))[0] as string
  const hash = sha256.create()
  for (let at = 0; at < size; at += piece) hash.update(await read(at, Math.min(at + piece, size)))
  return hexOf(hash.digest())
}

const atOnce = 64 * 1024 * 1024
const piece = 4 * 1024 * 1024

const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

function hexOf(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += digits[byte]
  return text
}
