/** Functions on bytes that run in a browser as well, where there is no Buffer. */

/** One character for each byte. (A TextDecoder for "latin1" decodes windows-1252 instead, which differs for 27 bytes.) */
export function latin1(bytes: Uint8Array): string {
  let text = ''
  // in parts, because a call takes some ten thousand arguments, and a line of a damaged file may be as long as the file
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192) as unknown as number[])
  return text
}

/** Writes an ASCII text at an offset and gives the offset behind it. */
export function putAscii(into: Uint8Array, text: string, at: number): number {
  for (let index = 0; index < text.length; index++) into[at + index] = text.charCodeAt(index)
  return at + text.length
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Decodes UTF-8 and keeps a byte order mark; throws when the bytes are not UTF-8. */
export function utf8(bytes: Uint8Array): string {
  return strict.decode(bytes)
}
