/** Hexadecimal text to bytes and back. Hashes are taken over bytes: `0xdead` is two of them, not six characters. */

/** Undefined when the text is not an even number of hexadecimal digits, with or without `0x`. */
export function bytesFromHex(text: string): Uint8Array | undefined {
  const digits = text.trim().replace(/^0x/i, '')
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) return undefined
  return Uint8Array.from(Buffer.from(digits, 'hex'))
}

export function hexFromBytes(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')}`
}
