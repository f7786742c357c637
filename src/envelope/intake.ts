/**
 * Parses the bytes of a body as one JSON object. A text that two JSON readers could understand differently is refused (RFC
 * 7493).
 */

import type { FieldError, Json, JsonObject } from '../../contracts/contract.ts'
import { isObject } from '../../contracts/envelope.ts'
import { deepest, inspect, mostValues } from './json.ts'
import { bounded } from './violations.ts'

export type Intake =
  | { readonly ok: true; readonly value: JsonObject; readonly found: readonly FieldError[] }
  | {
      readonly ok: false
      readonly detail: string
      readonly errors?: readonly FieldError[]
      /** The parsed body, if it is an object. */
      readonly read?: JsonObject
    }

/**
 * `found` lists numbers that would change and keys `__proto__`. They are reported together with the violations of the contract
 * (SPEC 2, step 7). `isStored`: see `inspect`.
 */
export function intake(bytes: Uint8Array, isStored = false): Intake {
  if (bytes.length === 0) {
    return refuse(
      'The body is empty. This is what PHP posts when json_encode returned false: check json_last_error_msg().',
    )
  }
  if (hasByteOrderMark(bytes)) {
    return refuse('The body starts with a byte order mark. Send the JSON text without it.')
  }
  const text = decode(bytes)
  if (text === undefined) return refuse('The body is not UTF-8. Encode the whole JSON text as UTF-8.')
  const { tooMuch, malformed, changed } = inspect(text, isStored)
  if (tooMuch) return { ok: false, detail: `Send ${bounds}.`, errors: [tooMuch] }
  const value = parse(text)
  if (value === undefined)
    return refuse('The body is not JSON (RFC 8259). Send one whole JSON object, uncut and unwrapped.')
  if (!isObject(value)) {
    return refuse('The body is JSON, but not an object. Send one envelope, as a JSON object.')
  }
  if (malformed.length === 0) return { ok: true, value: value as JsonObject, found: changed }
  return {
    ok: false,
    detail: 'The JSON could be read in more than one way: each key once per object, whole characters.',
    errors: bounded(malformed),
    read: value as JsonObject,
  }
}

const bounds = `at most ${deepest} levels and ${mostValues} values in one envelope`

function refuse(detail: string): Intake {
  return { ok: false, detail }
}

export function hasByteOrderMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}

const newDecoder = () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
let decoder = newDecoder()

function decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    // a decoder that has thrown may keep a part of the bytes that it could not decode
    decoder = newDecoder()
    return undefined
  }
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}
