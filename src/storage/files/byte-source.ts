/** Makes an open file a source of bytes, from which the code in `records/` reads lines. */
import type { FileHandle } from 'node:fs/promises'
import type { ByteSource } from '../../records/lines.ts'

export function sourceOf(file: FileHandle): ByteSource {
  return { read: (from, until) => readRange(file, from, until) }
}

/** The bytes between two offsets, in a buffer of their own; fewer when the file ends before. */
export async function readRange(file: FileHandle, from: number, until: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.allocUnsafeSlow(Math.max(until - from, 0))
  let filled = 0
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, from + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}
