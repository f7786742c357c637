/**
 * What others kept: receipts that an addon was answered with, heads that were published. Each says that record SEQUENCE
 * of an association has that SHA-256, for ever. They are the only thing an operator cannot rewrite.
 */

import { isSlug } from '../../../contracts/envelope.ts'
import { isHash } from '../../records/line.ts'
import { type Place, placeName, ruleOf } from '../addons.ts'
import type { TimeStamp } from './stamped.ts'

export type Expectation = {
  readonly place: Place
  readonly sequence: number
  readonly sha256: string
  /** Where it was written down, for the finding. */
  readonly source: string
  /** The time stamp that covers it, for a head that was stamped. */
  readonly stamp?: TimeStamp
}

/** By `<addon>/<slug>`. */
export type Expectations = ReadonlyMap<string, readonly Expectation[]>

/** A line that is no receipt and no head; the message says what belongs there. */
export class NotKept extends Error {
  override readonly name = 'NotKept'
}

const none64 = '0'.repeat(64)
/** Version 1.0 wrote heads without the addon, when there was one that keeps every record (SPEC 8). */
const addonOfShortLines = 'scn01'

export function byPlace(expected: readonly Expectation[]): Expectations {
  const found = new Map<string, Expectation[]>()
  for (const each of expected) {
    const name = placeName(each.place)
    const list = found.get(name)
    if (list) list.push(each)
    else found.set(name, [each])
  }
  return found
}

/** `ADDON/SLUG:SEQUENCE:SHA256`, or `SLUG:SEQUENCE:SHA256`. */
export function expectation(text: string, source: string): Expectation {
  const [name = '', sequence = '', sha256 = '', ...others] = text.trim().split(':')
  const cut = name.indexOf('/')
  const place = {
    addon: cut === -1 ? addonOfShortLines : name.slice(0, cut),
    slug: name.slice(cut + 1),
  }
  const isNumber = /^\d{1,15}$/.test(sequence)
  if (others.length > 0 || !isNumber) throw unlike(source)
  return checked(place, Number(sequence), sha256, source)
}

function unlike(source: string): NotKept {
  return new NotKept(`${source}: expected ADDON/SLUG:SEQUENCE:SHA256, or the receiver's answer as JSON`)
}

function checked(place: Place, sequence: unknown, sha256: unknown, source: string): Expectation {
  const hex = typeof sha256 === 'string' ? sha256.toLowerCase() : ''
  const counts = typeof sequence === 'number' && Number.isSafeInteger(sequence) && sequence >= 0
  const emptyHead = sequence === 0 && hex === none64
  const isWellFormed = counts && isHash(hex) && (sequence > 0 || emptyHead)
  if (!isWellFormed || !isSlug(place.slug)) throw unlike(source)
  if (ruleOf(place.addon) !== 'append-only')
    throw new NotKept(`${source}: names an addon that this version does not know, or that keeps no history`)
  return { place, sequence, sha256: hex, source }
}

export type KeptReceipts = {
  readonly expected: readonly Expectation[]
  /** Answers of addons that keep only the latest state: nothing can be compared with them. */
  readonly withoutHistory: number
}

/**
 * A text of them, one a line, as `heads` prints them or as the receiver answers. Empty lines and lines that begin with `#` are
 * passed over. Throws `NotKept` where nothing is left to compare with.
 */
export function keptIn(text: string, name: string): KeptReceipts {
  const expected: Expectation[] = []
  let withoutHistory = 0
  for (const [index, line] of text.split('\n').entries()) {
    const source = `${name} line ${index + 1}`
    const trimmed = line.replace(/^\ufeff/, '').trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const found = trimmed.startsWith('{') ? fromAnswer(trimmed, source) : expectation(trimmed, source)
    if (found) expected.push(found)
    else withoutHistory++
  }
  return atLeastOne(expected, withoutHistory, name)
}

/** One head, with whatever stands around it on the line, but not within a longer word. */
const headInText =
  /(?<![\w/:.-])(?:[a-z0-9_-]+\/)?[a-z0-9](?:[a-z0-9_-]{0,126}[a-z0-9])?:\d{1,15}:[0-9A-Fa-f]{64}(?![\w:])/g
/** What could have been a head before it was cut or mistyped: to pass over it would be to compare less than was meant. */
const likeAHead = /:\d+:[0-9A-Fa-f]{16,}/

/**
 * Heads as they were published: what `heads` prints, or the text of a post, a mail or a page, as it is copied, with other
 * words before, behind and between. Throws `NotKept` where nothing is left to compare with.
 */
export function headsIn(text: string, name: string): KeptReceipts {
  const expected: Expectation[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const source = `${name} line ${index + 1}`
    if (line.trimStart().startsWith('{')) {
      const found = fromAnswer(line.trim(), source)
      if (found) expected.push(found)
      continue
    }
    if (line.trimStart().startsWith('#')) continue
    if (likeAHead.test(line.replaceAll(headInText, ''))) throw unlike(source)
    for (const [found] of line.matchAll(headInText)) expected.push(expectation(found, source))
  }
  return atLeastOne(expected, 0, name)
}

/** A comparison with nothing would look like a comparison that found nothing. */
function atLeastOne(expected: readonly Expectation[], withoutHistory: number, name: string): KeptReceipts {
  if (expected.length === 0)
    throw new NotKept(
      withoutHistory > 0
        ? `${name} holds only answers about records without history, with which nothing can be compared`
        : `${name} holds no receipt and no head`,
    )
  return { expected, withoutHistory }
}

function fromAnswer(text: string, source: string): Expectation | undefined {
  const { addon, association_slug, sequence, record_sha256 } = parsed(text, source)
  const place = {
    addon: typeof addon === 'string' ? addon : addonOfShortLines,
    slug: String(association_slug),
  }
  if (sequence === undefined && ruleOf(place.addon) === 'overwrite-by-placekey') return undefined
  return checked(place, sequence, record_sha256, source)
}

function parsed(text: string, source: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    throw new NotKept(`${source}: not JSON`)
  }
}
