/**
 * What `JSON.parse` does not tell: a key that is there twice, nesting, ill-formed surrogates, `__proto__`, and numbers
 * that would not be stored as they were written.
 *
 * Runs over text that `JSON.parse` has taken, so the syntax is known to be right, and hops over strings without looking
 * into them: one pass, and only where that finds something a second one, which names the places.
 */
import type { FieldError, Json } from '../../contracts/contract.ts'
import { pointer } from './violations.ts'

export const deepest = 32

export type Inspection = {
  /** Not a value that two readers would agree on (RFC 7493): refused as a whole. */
  readonly malformed: readonly FieldError[]
  /** A value that cannot be kept as it was sent: refused with the other violations. */
  readonly changed: readonly FieldError[]
}

type Frame = { readonly keys: Set<string> | undefined; step: string | number }

const surrogateEscape = /\\u[dD][89a-fA-F]/
const protoKey = '__proto__'
const quote = 34
const backslash = 92
/** More places than this are counted without being named; the answer lists no more. */
const mostNamed = 1000

/** `value` is what `JSON.parse` made of the text. */
export function inspect(text: string, value: Json): Inspection {
  return isPlain(text, value) ? { malformed: [], changed: [] } : search(text)
}

/**
 * Nearly every text has nothing of all this, and that is seen without naming a place: a key that is there twice is in the
 * value once, so then fewer keys are in the value than in the text.
 */
function isPlain(text: string, value: Json): boolean {
  if (surrogateEscape.test(text)) return false
  let keys = 0
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) at = endOfString(text, at)
    else if (code === 58 /* : */) keys++
    else if (code === 123 /* { */ || code === 91 /* [ */) {
      if (++depth > deepest) return false
    } else if (code === 125 /* } */ || code === 93 /* ] */) depth--
    else if (startsNumber(code)) {
      const end = endOfNumber(text, at)
      if (changeOf(text.slice(at, end))) return false
      at = end - 1
    }
  }
  return keys === keysIn(value)
}

/** Of all objects in it; not a number when one of them is `__proto__`. */
function keysIn(value: Json): number {
  if (typeof value !== 'object' || value === null) return 0
  if (Array.isArray(value)) return value.reduce((sum, item) => sum + keysIn(item), 0)
  const object = value as { readonly [key: string]: Json }
  const keys = Object.keys(object)
  let sum = keys.length
  for (const key of keys) sum += key === protoKey ? Number.NaN : keysIn(object[key] as Json)
  return sum
}

/** All that there is, with its places. */
function search(text: string): Inspection {
  const malformed: FieldError[] = []
  const changed: FieldError[] = []
  const frames: Frame[] = []
  let frame: Frame | undefined
  let expectsKey = false
  const escapesSurrogate = surrogateEscape.test(text)
  const note = (list: FieldError[], detail: string): void => {
    list.push({ pointer: list.length < mostNamed ? pointer(frames.map(({ step }) => step)) : '', detail })
  }

  const enterKey = (raw: string): void => {
    const object = frame as Frame & { keys: Set<string> }
    const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw
    object.step = key
    if (object.keys.has(key)) note(malformed, 'is there twice in one object; send each key once')
    else object.keys.add(key)
    if (key === protoKey) note(changed, 'is a name that is not stored; send the value under another one')
  }

  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      const end = endOfString(text, at)
      const raw = expectsKey || escapesSurrogate ? text.slice(at + 1, end) : ''
      if (expectsKey) enterKey(raw)
      if (escapesSurrogate && !isWellFormed(raw)) {
        note(malformed, 'has half of a surrogate pair; send whole characters')
      }
      expectsKey = false
      at = end
    } else if (code === 44 /* , */) {
      if (frame?.keys) expectsKey = true
      else if (frame) frame.step = (frame.step as number) + 1
    } else if (code === 123 /* { */ || code === 91 /* [ */) {
      if (frames.length === deepest) return { malformed: [tooDeep], changed: [] }
      frame = code === 123 ? { keys: new Set(), step: '' } : { keys: undefined, step: 0 }
      expectsKey = code === 123
      frames.push(frame)
    } else if (code === 125 /* } */ || code === 93 /* ] */) {
      frames.pop()
      frame = frames[frames.length - 1]
      expectsKey = false
    } else if (startsNumber(code)) {
      const end = endOfNumber(text, at)
      const detail = changeOf(text.slice(at, end))
      if (detail) note(changed, detail)
      at = end - 1
    }
  }
  return { malformed, changed }
}

const tooDeep: FieldError = { pointer: '', detail: `is nested deeper than ${deepest}` }

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end - 1
    while (text.charCodeAt(before) === backslash) before--
    if ((end - before) % 2 === 1) return end
  }
}

function isWellFormed(raw: string): boolean {
  return !raw.includes('\\u') || (JSON.parse(`"${raw}"`) as string).isWellFormed()
}

function startsNumber(code: number): boolean {
  return code === 45 /* - */ || (code >= 48 && code <= 57)
}

function endOfNumber(text: string, start: number): number {
  for (let end = start + 1; ; end++) {
    const code = text.charCodeAt(end)
    const isPart =
      (code >= 48 && code <= 57) || code === 46 || code === 43 || code === 45 || (code | 32) === 101
    if (!isPart) return end
  }
}

/** Why a number would change (SPEC 2, step 7); undefined when it is kept as an IEEE double has it (RFC 7493). */
function changeOf(written: string): string | undefined {
  if (written.length < 16 && !/[eE]/.test(written)) return undefined
  const number = Number(written)
  if (/^-?\d+$/.test(written)) {
    return Number.isSafeInteger(number)
      ? undefined
      : 'is a whole number beyond 2^53 - 1 and would change; send it as a string'
  }
  if (!Number.isFinite(number)) return 'is a number too large to be kept; send it as a string'
  const vanished = number === 0 && /[1-9]/.test(written.replace(/[eE].*$/, ''))
  return vanished ? 'is a number so small that it would become 0; send it as a string' : undefined
}
