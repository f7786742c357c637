/**
 * Reads what others kept: receipts with which addons were answered, and heads that were published. Each says that record
 * SEQUENCE of an association has a certain SHA-256, for ever. Receipts and heads are the only things that an operator cannot
 * rewrite.
 */

import { isSlug } from '../../../contracts/envelope.ts'
import { isHash } from '../../records/line.ts'
import { type Place, placeName, ruleOf } from '../addons.ts'

export type TimeStamp = {
  /** The name of the file that holds the stamp. */
  readonly file: string
  /** The name of the authority, as it stands in the name of the file. */
  readonly authority: string
  /** The time in the stamp, in ISO form. */
  readonly at: string
  /** The auditor's own file with the certificate that fits the stamp; undefined: only the certificate beside the stamp fits. */
  readonly under: string | undefined
}

export type Expectation = {
  readonly place: Place
  readonly sequence: number
  readonly sha256: string
  /** The file or the option from which the receipt or head comes, for the finding. */
  readonly source: string
  /** The time stamp that covers the head, if it was stamped. */
  readonly stamp?: TimeStamp
}

/** By `<addon>/<slug>`. */
export type Expectations = ReadonlyMap<string, readonly Expectation[]>

/** A line is neither a receipt nor a head. The message says what belongs there. */
export class NotKept extends Error {
  override readonly name = 'NotKept'
}

const none64 = '0'.repeat(64)
/** Version 1.0 wrote heads without the addon, because only one addon kept every record (SPEC 8). */
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
  /** How many answers are of addons that keep only the latest state. No record can be compared with them. */
  readonly withoutHistory: number
}

/**
 * Reads a text of receipts or heads, one on each line, as `heads` prints them or as the receiver answers. Empty lines and lines
 * that begin with `#` are skipped. Throws `NotKept` when the text holds nothing to compare with.
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

/** Finds a head anywhere on a line, but not inside a longer word. Whether its names may be names, `expectation` decides. */
const headInText = /(?<![\w/:.-])(?:[a-z0-9_-]+\/)?[a-z0-9_-]+:\d{1,15}:[0-9A-Fa-f]{64}(?![\w:])/g
/** Finds text that may be a cut or mistyped head. Skipping it would compare less than the auditor meant to compare. */
const likeAHead = /:\d+:[0-9A-Fa-f]{16,}/

/**
 * Reads heads as they were published: what `heads` prints, or the copied text of a post, a mail or a page, with other words before,
 * behind and between the heads. Throws `NotKept` when the text holds nothing to compare with.
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

/** Refuses a text without receipts and heads, because comparing with nothing would look like comparing without a finding. */
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
