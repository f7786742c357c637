/**
 * scn01: Scenarios. A participant puts a narrative on record, with the Vital Signs and the Diagnostics as they were at that time.
 * A submission is appended; no later one replaces it.
 */
import * as v from 'valibot'
import type { Contract, Json, JsonObject, Normalised } from './contract.ts'
import { common, envelope, fieldMap, isObject, line, reserved, rule } from './envelope.ts'

const listOfPins = 'must be a list of 1 to 3 different scenario ids'
const pin = 'must be a string of 1 to 128 characters that is not blank'
const pinSchema = { type: 'string', maxLength: 128, pattern: '\\S' }
const hex64 = '[0-9A-Fa-f]{64}'
const g1Hash = new RegExp(`^(?:0x)?(${hex64})$`)
const integerKey = '^(0|[1-9][0-9]*)$'

export const scn01 = {
  addon: 'scn01',
  version: '1.0',
  storage: 'append-only',
  envelope: envelope({
    ...common('scn01', '1.0'),
    pinned_scenario_ids: v.pipe(
      v.unknown(),
      rule(judgePins, {
        anyOf: [
          { type: 'array', minItems: 1, items: pinSchema },
          {
            type: 'object',
            minProperties: 1,
            propertyNames: { pattern: integerKey },
            additionalProperties: pinSchema,
          },
        ],
        'x-not-expressed': [
          'pinned_scenario_ids holds at most 3 different ids, counted after repeated ones are dropped',
        ],
      }),
      v.description(listOfPins),
    ),
    narrative: v.pipe(v.string('must be a string'), v.description('must be a string')),
    vs_snapshot: fieldMap({ min: 0 }),
    dsc_snapshot: fieldMap({ min: 0 }),
    g1_tx_hash: v.exactOptional(
      v.pipe(v.unknown(), v.description('may be any value; a hash is 64 hex digits, with or without 0x')),
    ),
    ...reserved,
    node_token_hash: v.exactOptional(
      line(
        new RegExp(`^${hex64}$`),
        64,
        'must be the SHA-256 of the node token as 64 hex digits, or be left out',
      ),
    ),
  }),
  attestsToken: true,
  normalise,
} satisfies Contract

/** Each id once, with the key under which it was first sent, in key order; undefined when `sent` is no list of any kind. */
function pinsByFirstKey(sent: unknown): Map<unknown, string> | undefined {
  const keyed = Array.isArray(sent) ? sent.entries() : entriesOfList(sent)
  if (!keyed) return undefined
  const pins = new Map<unknown, string>()
  for (const [key, id] of keyed) {
    if (!pins.has(id)) pins.set(id, String(key))
    // a list of 100 ids is refused as too long already; reporting the rest would only cost memory
    if (pins.size === 100) break
  }
  return pins
}

/** PHP's array_unique leaves gaps in a list, and json_encode then prints it as an object keyed by integers. */
function entriesOfList(sent: unknown): [string, Json][] | undefined {
  if (!isObject(sent)) return undefined
  const key = new RegExp(integerKey)
  const entries = Object.entries(sent)
  return entries.every(([name]) => key.test(name)) ? entries.sort(byInteger) : undefined
}

// The keys are integers of any size without leading zeros, so the shorter key is the smaller number.
const byInteger = ([a]: [string, Json], [b]: [string, Json]) => a.length - b.length || (a < b ? -1 : 1)

function judgePins(sent: unknown, report: (detail: string, key?: string) => void): void {
  const pins = pinsByFirstKey(sent) ?? new Map()
  if (pins.size < 1 || pins.size > 3) report(listOfPins)
  for (const [id, key] of pins) if (!isPin(id)) report(pin, key)
}

function isPin(id: unknown): boolean {
  return typeof id === 'string' && /\S/.test(id) && codePointsWithin(id, 128)
}

const codePointsWithin = (text: string, max: number) => text.length <= 2 * max && [...text].length <= max

function normalise(sent: JsonObject): Normalised {
  const g1 = normaliseG1(sent.g1_tx_hash ?? null)
  return {
    members: {
      pinned_scenario_ids: [...pinsByFirstKey(sent.pinned_scenario_ids)!.keys()] as string[],
      vs_snapshot: Array.isArray(sent.vs_snapshot) ? {} : sent.vs_snapshot!,
      dsc_snapshot: Array.isArray(sent.dsc_snapshot) ? {} : sent.dsc_snapshot!,
      ...g1,
    },
    warnings:
      'g1_tx_hash_raw' in g1
        ? [{ pointer: '/g1_tx_hash', detail: 'is not a transaction hash; kept under g1_tx_hash_raw' }]
        : [],
  }
}

/** A submission is never refused because of its payment: a value that is no hash is kept as text, and the hash becomes null. */
function normaliseG1(sent: Json): { g1_tx_hash: string | null; g1_tx_hash_raw?: string } {
  if (sent === null || sent === false) return { g1_tx_hash: null }
  if (typeof sent !== 'string')
    return { g1_tx_hash: null, g1_tx_hash_raw: firstCodePoints(JSON.stringify(sent)) }
  const text = sent.trim()
  if (text === '') return { g1_tx_hash: null }
  const digits = g1Hash.exec(text)?.[1]
  return digits
    ? { g1_tx_hash: `0x${digits.toLowerCase()}` }
    : { g1_tx_hash: null, g1_tx_hash_raw: firstCodePoints(sent) }
}

// The first cut keeps a long text cheap: 256 code points never take more than 512 UTF-16 units.
const firstCodePoints = (text: string) => [...text.slice(0, 512)].slice(0, 256).join('')
