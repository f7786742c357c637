/**
 * Judges a body a second time, from the specification alone. It has a JSON reader of its own, and uses the published JSON Schemas and hand-written
 * rules for what the schemas list under `x-not-expressed`. It shares no code with src/ and contracts/*.ts.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

export type Value = null | boolean | number | string | Value[] | { [key: string]: Value }
type Members = { [key: string]: Value }

export type OracleVerdict =
  | { readonly status: 400 | 422; readonly why: string }
  | {
      readonly status: 'stored'
      readonly addon: string
      /** The path of the record below the data directory. */
      readonly path: string
      /** The members of the record, without `receipt`. */
      readonly record: Members
      /** For append-only records: the SHA-256 of the canonical form. */
      readonly id?: string
    }

const addons = ['vs01', 'dsc01', 'scn01'] as const
const schemas: ReadonlyMap<unknown, ValidateFunction> = new Map(
  addons.map((addon) => {
    const url = new URL(`../../contracts/${addon}-1.0.schema.json`, import.meta.url)
    const ajv = new Ajv2020({ keywords: ['x-not-expressed'], strictTypes: false })
    return [addon, ajv.compile(JSON.parse(readFileSync(url, 'utf8')))]
  }),
)

/** `tokenSha256` is the hash of the token that the request presents. */
export function judge(body: Buffer, tokenSha256: string): OracleVerdict {
  if (body.length === 0) return { status: 400, why: 'empty' }
  if (!isUtf8(body)) return { status: 400, why: 'not UTF-8' }
  const read = readJson(body.toString())
  if (read.malformed !== undefined) return { status: 400, why: read.malformed }
  const { value, changed } = read
  if (!isMembers(value)) return { status: 400, why: 'not an object' }
  const isValid = schemas.get(value.addon)
  if (!isValid) return { status: 422, why: 'addon' }
  if (!isValid(value)) return { status: 422, why: 'schema' }
  const { addon, association_slug: slug, participant_id } = value as { [key: string]: string }
  if (addon === 'scn01') {
    const pins = Object.values(value.pinned_scenario_ids as Members)
    if (new Set(pins).size > 3) return { status: 422, why: 'pins' }
    const attested = value.node_token_hash as string | undefined
    if (attested !== undefined && attested.toLowerCase() !== tokenSha256) return { status: 422, why: 'token' }
  }
  if (changed !== undefined) return { status: 422, why: changed }
  if (addon !== 'scn01')
    return {
      status: 'stored',
      addon: addon as string,
      path: `${addon}/${slug}/${participant_id}.json`,
      record: value,
    }
  const record = normalised(value)
  const id = createHash('sha256').update(canonical(record)).digest('hex')
  return {
    status: 'stored',
    addon,
    path: `scn01/${slug}/records.json`,
    record: { ...record, node_token_hash: tokenSha256 },
    id,
  }
}

function isMembers(value: Value): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Normalises by SPEC 3, "Normalisation, the whole list", for scn01. */
function normalised(sent: Members): Members {
  const record = { ...sent }
  delete record.node_token_hash
  const pins = sent.pinned_scenario_ids as Value[] | Members
  const inOrder = Array.isArray(pins)
    ? pins
    : Object.keys(pins)
        .sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1))
        .map((key) => pins[key] as Value)
  record.pinned_scenario_ids = [...new Set(inOrder)]
  for (const name of ['vs_snapshot', 'dsc_snapshot']) if (Array.isArray(record[name])) record[name] = {}
  const hash = sent.g1_tx_hash ?? null
  const text = typeof hash === 'string' ? hash.trim() : undefined
  record.g1_tx_hash = null
  if (text !== undefined && /^(0x)?[0-9a-f]{64}$/i.test(text) && !text.startsWith('0X')) {
    record.g1_tx_hash = `0x${text.slice(-64).toLowerCase()}`
  } else if (hash !== null && hash !== false && text !== '') {
    const raw = typeof hash === 'string' ? hash : JSON.stringify(hash)
    record.g1_tx_hash_raw = Array.from(raw).slice(0, 256).join('')
  }
  return record
}

/** Prints the RFC 8785 form: names sorted by UTF-16 code units, no blanks, strings and numbers as ECMAScript prints them. */
function canonical(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (!isMembers(value)) return JSON.stringify(value)
  const names = Object.keys(value).sort()
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name] as Value)}`).join()}}`
}

type Read =
  | { readonly malformed: string }
  | { readonly malformed?: undefined; readonly value: Value; readonly changed: string | undefined }

class Malformed extends Error {}

/** Reads JSON (RFC 8259) by recursive descent, without what RFC 7493 forbids. `changed` says that a value could not be kept as it is. */
function readJson(text: string): Read {
  let at = 0
  let changed: string | undefined
  const fail = (why: string): never => {
    throw new Malformed(why)
  }
  const blanks = (): void => {
    while (at < text.length && ' \t\n\r'.includes(text[at] as string)) at++
  }
  const take = (expected: string): void => {
    if (!text.startsWith(expected, at)) fail('syntax')
    at += expected.length
  }
  const string = (): string => {
    take('"')
    const start = at
    for (;;) {
      const code = text.charCodeAt(at)
      if (Number.isNaN(code) || code < 0x20) fail('syntax')
      if (code === 0x22) break
      at += code === 0x5c ? 2 : 1
    }
    const raw = text.slice(start, at)
    at++
    if (!raw.includes('\\')) return raw
    const plain = raw.replace(/\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt])|)/g, (_, hex, short) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
      if (short === undefined) return fail('syntax')
      return { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[short as string] ?? (short as string)
    })
    if (/\p{Surrogate}/u.test(plain)) fail('surrogate')
    return plain
  }
  const number = (): number => {
    const number = /(-?)(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
    number.lastIndex = at
    const found = number.exec(text)
    if (!found) return fail('syntax')
    const [written, , whole, fraction = '', exponent] = found as unknown as string[]
    at += (written as string).length
    const value = Number(written)
    if (fraction === '' && exponent === undefined) {
      if (BigInt(whole as string) > BigInt(Number.MAX_SAFE_INTEGER)) changed ??= 'integer'
    } else if (!Number.isFinite(value)) changed ??= 'overflow'
    else if (value === 0 && /[1-9]/.test(whole + fraction)) changed ??= 'underflow'
    return value === 0 ? 0 : value
  }
  const value = (depth: number): Value => {
    blanks()
    const first = text[at]
    if (first === '"') return string()
    if (first !== '{' && first !== '[') {
      for (const [word, meaning] of [
        ['true', true],
        ['false', false],
        ['null', null],
      ] as const) {
        if (!text.startsWith(word, at)) continue
        at += word.length
        return meaning
      }
      return number()
    }
    // At such a depth the rest is not read, because the body is refused in any case.
    if (depth > 200) fail('depth')
    return first === '[' ? list(depth) : members(depth)
  }
  let deepest = 0
  const list = (depth: number): Value[] => {
    deepest = Math.max(deepest, depth)
    const items: Value[] = []
    take('[')
    blanks()
    if (text[at] !== ']') {
      for (;;) {
        items.push(value(depth + 1))
        blanks()
        if (text[at] !== ',') break
        at++
      }
    }
    take(']')
    return items
  }
  let isTwice = false
  const members = (depth: number): Members => {
    deepest = Math.max(deepest, depth)
    const found = new Map<string, Value>()
    take('{')
    blanks()
    if (text[at] !== '}') {
      for (;;) {
        blanks()
        const name = string()
        blanks()
        take(':')
        if (found.has(name)) isTwice = true
        if (name === '__proto__') changed ??= '__proto__'
        found.set(name, value(depth + 1))
        blanks()
        if (text[at] !== ',') break
        at++
      }
    }
    take('}')
    return Object.fromEntries(found)
  }
  try {
    const whole = value(1)
    blanks()
    if (at !== text.length) fail('syntax')
    if (isTwice) fail('twice')
    if (deepest > 32) fail('depth')
    return { value: whole, changed }
  } catch (error) {
    if (error instanceof Malformed) return { malformed: error.message }
    throw error
  }
}
