/**
 * RFC 8785, the JSON Canonicalization Scheme: every JSON value has exactly one sequence of bytes, so the hash of the bytes
 * identifies the value.
 *
 * Keys are sorted by UTF-16 code units (the order of `sort()`); numbers and strings are printed as ECMAScript prints them, in
 * UTF-8. Strings have to be well-formed. Everything is written as bytes at once, because joining texts and encoding them later
 * caused a fifth of all garbage of an append.
 */

import { isScalar, type Json } from '../../contracts/contract.ts'
import { backslash, closeBrace, closeBracket, comma, openBrace, openBracket, quote } from './line.ts'

export function canonicalBytes(value: Json): Uint8Array {
  // JSON.stringify differs from the canonical form only in the order of names, and is several times as fast as the writer here.
  if (isInOrder(value)) return encoder.encode(JSON.stringify(value))
  const writer = new CanonicalWriter(leastRoom)
  writer.value(value)
  return writer.from(0)
}

/** Whether the names of every object in the value are in canonical order, as they are in values that the receiver stored. */
function isInOrder(value: Json): boolean {
  if (isScalar(value)) return true
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
/** The most UTF-8 bytes that a UTF-16 code unit can take. */
const widest = 3
/** For strings of at most so many characters, a loop is faster than a call of the encoder. */
const shortString = 80

const encoder = new TextEncoder()

const colon = 58

/** A growing buffer that JSON is written into. `clear` empties it and keeps the memory for the next use. */
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

  /** A view of the bytes from `start` on, valid until the next write. */
  from(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#length)
  }

  /** A copy, which stays valid. */
  copy(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end)
  }

  byte(code: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = code
  }

  /** Writes the bytes between two offsets a second time. */
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
    else if (isScalar(value)) this.#text(JSON.stringify(value))
    else if (Array.isArray(value)) this.#array(value)
    else this.#object(value as { readonly [key: string]: Json })
  }

  #array(values: readonly Json[]): void {
    this.byte(openBracket)
    for (let at = 0; at < values.length; at++) {
      if (at > 0) this.byte(comma)
      this.value(values[at] as Json)
    }
    this.byte(closeBracket)
  }

  #object(object: { readonly [key: string]: Json }): void {
    this.byte(openBrace)
    const keys = Object.keys(object).sort()
    for (let at = 0; at < keys.length; at++) {
      if (at > 0) this.byte(comma)
      const key = keys[at] as string
      this.member(key, object[key] as Json)
    }
    this.byte(closeBrace)
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

  /** False, with nothing written, when the text has a control character or a character of more than one byte. */
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

/** Most strings need no escape. Testing for that and copying the string costs half as much as `JSON.stringify`. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
const needsNoEscape = /^[^"\\\u0000-\u001f]*$/
