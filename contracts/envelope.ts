/** The members that all envelopes have, and the building blocks from which a contract's schema is written. */
import * as v from 'valibot'
import type { JsonObject } from './contract.ts'

type Entries = Readonly<Record<string, v.GenericSchema>>

/**
 * The schema of an envelope as sent. Each member has a description of one sentence, "must be …", which is used three times: as
 * the answer to a wrong value, as the end of "is missing; it …", and as the member's description in the JSON Schema.
 */
export function envelope<const T extends Entries>(entries: T) {
  return v.looseObject(entries, (issue) => {
    const member = entries[String(issue.path?.at(-1)?.key)]
    return member ? `is missing; it ${v.getDescription(member)}` : 'must be an object'
  })
}

/** A line of ASCII text. `max` is checked first, so that the pattern never runs over a megabyte. */
export const line = (pattern: RegExp, max: number, sentence: string) =>
  v.pipe(v.string(sentence), v.maxLength(max, sentence), v.regex(pattern, sentence), v.description(sentence))

export const oneOf = <const T extends readonly string[]>(...values: T) => {
  const sentence = mustBe(values)
  return v.pipe(v.picklist(values, sentence), v.description(sentence))
}

/** `must be "a", "b" or "c"` */
export function mustBe(values: readonly string[]): string {
  const quoted = values.map((value) => JSON.stringify(value))
  const last = quoted.pop()
  return quoted.length > 0 ? `must be ${quoted.join(', ')} or ${last}` : `must be ${last}`
}

/** Reports a violation: what to change, at the member itself or, with `key`, at one key below it. */
type Complain = (detail: string, key?: string) => void

/**
 * A rule that valibot has no action for, with the JSON Schema that says the same. The parts that JSON Schema cannot express are
 * listed as sentences under `x-not-expressed`, so that a reader of the generated file sees every rule.
 */
export function rule(judge: (value: unknown, report: Complain) => void, jsonSchema: JsonObject) {
  const check = v.rawCheck<unknown>(({ dataset, addIssue }) => {
    const input = dataset.value
    judge(input, (message, key) => {
      if (key === undefined) addIssue({ message })
      else addIssue({ message, path: [{ type: 'unknown', origin: 'value', input, key, value: undefined }] })
    })
  })
  return { ...check, jsonSchema }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An object of field ids and values; the values are not judged. PHP encodes an empty map as `[]`, so `[]` counts as empty. */
export function fieldMap({ min }: { min: 0 | 1 }) {
  const shape = 'must be an object keyed by field id'
  const filled = 'must have at least one entry'
  const object = { type: 'object', minProperties: min }
  return v.pipe(
    v.unknown(),
    rule(
      (value, report) => {
        if (Array.isArray(value)) {
          if (value.length > 0) report(shape)
          else if (min > 0) report(`${filled}; it ${shape}`)
        } else if (!isObject(value)) report(shape)
        else if (Object.keys(value).length < min) report(filled)
      },
      min > 0 ? object : { anyOf: [{ type: 'object' }, { type: 'array', maxItems: 0 }] },
    ),
    v.description(min > 0 ? `${shape}, with at least one entry` : shape),
  )
}

// Upper case is refused and not folded: two Placekeys that differ in case would share a file on some file systems.
const letter = '23456789bcdfghjkmnpqrstvwxyz'
const where = `[${letter}eua]{3}-[${letter}eu]{3}-[${letter}eu]{3}`
const what = `([${letter}]{3,}(-[${letter}]{3,})?|[01][a-z2-7]{9})`
const placekey = new RegExp(`^((${what})?@${where}|SASE[0-9]+-${what}-at-${where})$`)

const month31 = '(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])'
const month30 = '(0[469]|11)-(0[1-9]|[12][0-9]|30)'
const february = '02-(0[1-9]|1[0-9]|2[0-8])'
const leapYear = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)'
const day = `([0-9]{4}-(${month31}|${month30}|${february})|${leapYear}-02-29)`
const time = '([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?'
const zone = '(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])'
const dateTime = new RegExp(`^${day}T${time}${zone}$`)

/** The instant that a valid `submitted_at` names, in milliseconds since 1970, without its fraction of a second. */
export function instant(submittedAt: string): number {
  return Date.parse(submittedAt.replace(/\.[0-9]+/, '').replace(/([+-][0-9]{2})([0-9]{2})$/, '$1:$2'))
}

const slugPattern = /^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$/
const longestSlug = 128

/** Whether a text could be an `association_slug`. */
export function isSlug(text: string): boolean {
  return text.length <= longestSlug && slugPattern.test(text)
}

/** The members that every envelope begins with. */
export const common = <const A extends string, const V extends string>(addon: A, version: V) => ({
  addon: oneOf(addon),
  contract_version: oneOf(version),
  association_slug: line(
    slugPattern,
    longestSlug,
    'must be 1 to 128 lower-case letters, digits, "-" and "_", with a letter or digit at both ends',
  ),
  association_channel_id: line(
    /^[0-9]{1,20}$/,
    20,
    'must be a string of 1 to 20 digits; a JSON number is not accepted',
  ),
  participant_id: line(
    placekey,
    64,
    'must be a Placekey of at most 64 characters, what@where or SASE<digits>-<what>-at-<where>, in lower case but for SASE',
  ),
  submitted_at: line(
    dateTime,
    35,
    'must be an ISO 8601 date and time with a zone, on a day that exists, such as 2026-06-15T14:32:00+00:00',
  ),
  standing: oneOf('public', 'participant', 'professional', 'operator'),
})

const written = (sentence: string) => v.exactOptional(v.pipe(v.never(sentence), v.description(sentence)))

/** Members that the receiver writes itself, for every addon. A record that has them ends with them. */
export const reserved = {
  g1_tx_hash_raw: written('must be left out: the receiver writes it'),
  receipt: written('must be left out: the receiver writes it'),
}
