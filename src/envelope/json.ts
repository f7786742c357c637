/**
 * Finds in a JSON text what `JSON.parse` hides: duplicate keys, the depth of nesting, ill-formed surrogates, the key `__proto__`,
 * the number of values, and numbers that would not be stored as they were written.
 *
 * One pass over the text, before `JSON.parse`, because parsing many tiny values costs a hundred times as much as parsing a few
 * long ones in a text of the same size. The text may therefore be no JSON at all. Then any result will do, because `JSON.parse`
 * refuses the text afterwards.
 */
import type { FieldError } from '../../contracts/contract.ts'
import { pointer } from './violations.ts'

export const deepest = 32
/** Objects, lists and the values in them, each counted once. The addons send fewer than 2,000. */
export const mostValues = 50_000

export type Inspection = {
  /** The text has too many values or levels to be parsed. Nothing else was checked. */
  readonly tooMuch?: FieldError
  /** Places that two JSON readers could understand differently (RFC 7493). The body is refused as a whole. */
  readonly malformed: readonly FieldError[]
  /** Values that cannot be stored as they were sent. They are reported with the other violations. */
  readonly changed: readonly FieldError[]
}

type Frame = { readonly keys: Set<string> | undefined; step: string | number }

const surrogateEscape = /\\u[dD][89a-fA-F]/
const protoKey = '__proto__'
const quote = 34
const backslash = 92
/** Places after this many are counted without a pointer, because the answer lists no more of them. */
const mostNamed = 1000

/** The receiver may add this many values to an envelope: a receipt, the hash of a token, a payment as it was sent. */
const addedValues = 10

const tooDeep: Inspection = {
  tooMuch: { pointer: '', detail: `is nested deeper than ${deepest}` },
  malformed: [],
  changed: [],
}
const tooMany: Inspection = {
  tooMuch: {
    pointer: '',
    detail: `has more than ${mostValues} values; send at most so many, objects, lists and what is in them each counted once`,
  },
  malformed: [],
  changed: [],
}
/** The result for a text that is no JSON, which `JSON.parse` will refuse. */
const unknown: Inspection = { malformed: [], changed: [] }

/**
 * `isStored`: the text is a stored record and was printed by the receiver. The receiver prints numbers as JavaScript does, so some
 * doubles appear as whole numbers beyond 2^53, and it adds values of its own. Neither is a violation.
 */
export function inspect(text: string, isStored = false): Inspection {
  try {
    return search(text, isStored)
  } catch (error) {
    if (error instanceof SyntaxError) return unknown
    throw error
  }
}

function search(text: string, isStored: boolean): Inspection {
  let values = isStored ? -addedValues : 0
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
      if (end < 0) return unknown
      if (!expectsKey) values++
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
      if (frames.length === deepest) return tooDeep
      values++
      frame = code === 123 ? { keys: new Set(), step: '' } : { keys: undefined, step: 0 }
      expectsKey = code === 123
      frames.push(frame)
    } else if (code === 125 /* } */ || code === 93 /* ] */) {
      frames.pop()
      frame = frames[frames.length - 1]
      expectsKey = false
    } else if (startsNumber(code)) {
      values++
      const end = endOfNumber(text, at)
      const written = text.slice(at, end)
      const detail = isStored && String(Number(written)) === written ? undefined : changeOf(written)
      if (detail) note(changed, detail)
      at = end - 1
    } else if (startsLiteral(code)) values++
    if (values > mostValues) return tooMany
  }
  return { malformed, changed }
}

/** The offset of the closing quote; below 0 when there is none. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    if (end < 0) return end
    let before = end - 1
    while (text.charCodeAt(before) === backslash) before--
    if ((end - before) % 2 === 1) return end
  }
}

function isWellFormed(raw: string): boolean {
  return !raw.includes('\\u') || (JSON.parse(`"${raw}"`) as string).isWellFormed()
}

/** Whether this is the first letter of `true`, `false` or `null`. None of these words has its first letter twice. */
function startsLiteral(code: number): boolean {
  return code === 116 || code === 102 || code === 110
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

/** Why a number would change when it is stored (SPEC 2, step 7); undefined when an IEEE double keeps it (RFC 7493). */
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
