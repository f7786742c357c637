/** Converts hexadecimal text to bytes and back, because hashes are over bytes: `0xdead` is two bytes. Runs in a browser, too. */

/** Undefined when the text is not an even number of hexadecimal digits, with or without `0x`. */
export function bytesFromHex(text: string): Uint8Array | undefined {
  const digits = text.trim().replace(/^0x/i, '')
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) return undefined
  return Uint8Array.from({ length: digits.length / 2 }, (_, at) =>
    Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16),
  )
}

export function hexFromBytes(bytes: Uint8Array): string {
  return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
