/**
 * RFC 8785, the JSON Canonicalization Scheme: one sequence of bytes for one value, so that its hash names the value.
 *
 * Keys by UTF-16 code units (the order of `sort()`), numbers and strings as ECMAScript prints them, in UTF-8. Strings have
 * to be well-formed. Written at once as bytes: texts that are joined and then encoded were a fifth of all that an append left
 * to the garbage collector.
 */

import type { Json } from '../../contracts/contract.ts'
import { backslash, comma, quote } from './line.ts'

export function canonicalBytes(value: Json): Uint8Array {
  // what JavaScript prints differs in the order of names alone, and it prints several times as fast as a writer here does
  if (isInOrder(value)) return encoder.encode(JSON.stringify(value))
  const writer = new CanonicalWriter(leastRoom)
  writer.value(value)
  return writer.from(0)
}

/** Whether the names of every object in it come in canonical order, as they do in what the receiver stored. */
function isInOrder(value: Json): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(isInOrder)
  const object = value as { readonly [key: string]: Json }
  let before = ''
  for (const key of Object.keys(object)) {
    if (key < before || !isInOrder(object[key] as Json)) return false
    before = key
  }
  return true
}

const leastRoom = 4 * 1024
/** UTF-8 bytes a UTF-16 code unit can take. */
const widest = 3
/** Up to this many characters a loop here is faster than a call that encodes them. */
const shortString = 80

const encoder = new TextEncoder()

const colon = 58

/** Bytes that grow as JSON is written behind them; `clear` starts anew in the same room. */
export class CanonicalWriter {
  readonly #room: number
  #bytes: Uint8Array
  #length = 0

  constructor(room: number) {
    this.#room = room
    this.#bytes = new Uint8Array(room)
  }

  get length(): number {
    return this.#length
  }

  clear(): void {
    this.#length = 0
    if (this.#bytes.length > this.#room) this.#bytes = new Uint8Array(this.#room)
  }

  /** A view, good until something else is written. */
  from(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#length)
  }

  /** Bytes of their own. */
  copy(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end)
  }

  byte(code: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = code
  }

  /** Once more what stands between two offsets. */
  again(start: number, end: number): void {
    this.#reserve(end - start)
    this.#bytes.copyWithin(this.#length, start, end)
    this.#length += end - start
  }

  member(name: string, value: Json): void {
    this.#string(name)
    this.byte(colon)
    this.value(value)
  }

  value(value: Json): void {
    if (typeof value === 'string') this.#string(value)
    else if (typeof value !== 'object' || value === null) this.#text(JSON.stringify(value))
    else if (Array.isArray(value)) this.#array(value)
    else this.#object(value as { readonly [key: string]: Json })
  }

  #array(values: readonly Json[]): void {
    this.byte(91 /* [ */)
    for (let at = 0; at < values.length; at++) {
      if (at > 0) this.byte(comma)
      this.value(values[at] as Json)
    }
    this.byte(93 /* ] */)
  }

  #object(object: { readonly [key: string]: Json }): void {
    this.byte(123 /* { */)
    const keys = Object.keys(object).sort()
    for (let at = 0; at < keys.length; at++) {
      if (at > 0) this.byte(comma)
      const key = keys[at] as string
      this.member(key, object[key] as Json)
    }
    this.byte(125 /* } */)
  }

  #string(text: string): void {
    if (text.length <= shortString && this.#asciiString(text)) return
    if (!needsNoEscape.test(text)) {
      this.#text(JSON.stringify(text))
      return
    }
    this.byte(quote)
    this.#text(text)
    this.byte(quote)
  }

  /** False when there is a control character in it, or one that takes more than one byte; then nothing was written. */
  #asciiString(text: string): boolean {
    this.#reserve(text.length * 2 + 2)
    const bytes = this.#bytes
    let end = this.#length
    bytes[end++] = quote
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (code < 32 || code > 126) return false
      if (code === quote || code === backslash) bytes[end++] = backslash
      bytes[end++] = code
    }
    bytes[end++] = quote
    this.#length = end
    return true
  }

  #text(text: string): void {
    this.#reserve(text.length * widest)
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** Most strings need no escape, and then this is half the price of `JSON.stringify`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
const needsNoEscape = /^[^"\\\u0000-\u001f]*$/
