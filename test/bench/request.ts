/** The requests of the bench: 4 KB envelopes as a Hubzilla addon sends them. A number of ten digits makes each one different. */
import { createHash } from 'node:crypto'

export const benchToken = 'bench-token-'.padEnd(48, 'b')
export const benchTokenSha256 = createHash('sha256').update(benchToken).digest('hex')

/** The kind of request, which decides the expected answer. */
export type RequestKind = 'append' | 'overwrite' | 'wrong-token' | 'bad-envelope'

const numberDigits = 10
const associationDigits = 4
const placekeyDigits = 5
const zeros = (digits: number): string => '0'.repeat(digits)

/** After each of these three texts stand the digits that are filled in for each request. */
const numberMark = 'Report no. '
const slugMark = 'bench-'
const placekeyMark = 'SASE'

const common = {
  contract_version: '1.0',
  association_slug: slugMark + zeros(associationDigits),
  association_channel_id: '118',
  participant_id: `${placekeyMark}${zeros(placekeyDigits)}-22c-at-5sb-8hm-54v`,
  submitted_at: `${new Date().toISOString().slice(0, 19)}+00:00`,
  standing: 'participant',
}
const numbered = numberMark + zeros(numberDigits)

const sentences = [
  'The ACH authorisation that was signed in 2019 was cancelled on the association’s side in February. ',
  'Nobody said so. The portal showed “no payment method”, and two months later a law firm wrote of $1,036.00. ',
  'The minutes list a “special assessment – façade” of $412.50 per unit, payable in three instalments. ',
]

function prose(length: number): string {
  let text = ''
  for (let at = 0; text.length < length; at++) text += sentences[at % sentences.length]
  return text.slice(0, length)
}

function fields(prefix: string, count: number): Record<string, string> {
  const entries = Array.from({ length: count }, (_, at) => [
    `${prefix}_field_${String(at).padStart(2, '0')}`,
    at % 3 === 0 ? '["management_company","closing_documents"]' : prose(24 + ((at * 37) % 50)),
  ])
  return Object.fromEntries(entries)
}

export function scn01Envelope(): Record<string, unknown> {
  return {
    addon: 'scn01',
    ...common,
    pinned_scenario_ids: ['DSC-01-S03', 'DSC-06-S01'],
    narrative: `${numbered}. ${prose(1_500)}`,
    vs_snapshot: fields('vs', 18),
    dsc_snapshot: fields('dsc', 13),
    g1_tx_hash: '255222F1C8D525D8FBC0FD4FD2A95BFB78B4D228EAB6E629CBE36AB024073E30',
  }
}

function vs01Envelope(): Record<string, unknown> {
  return {
    addon: 'vs01',
    ...common,
    vs_code: 'VS-01',
    perspective: 'homeowner',
    fields: { vs_notes: `${numbered}. ${prose(1_700)}`, ...fields('vs', 32) },
  }
}

const envelopes: Readonly<Record<RequestKind, () => Record<string, unknown>>> = {
  append: scn01Envelope,
  overwrite: vs01Envelope,
  'wrong-token': scn01Envelope,
  'bad-envelope': () => ({ ...scn01Envelope(), standing: 'neighbour' }),
}

/** Writes digits into the buffer, so that a request costs no new string. */
function writeDigits(bytes: Buffer, offset: number, digits: number, value: number): void {
  let rest = value
  for (let at = offset + digits - 1; at >= offset; at--) {
    bytes[at] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}

function placeAfter(bytes: Buffer, mark: string, digits: number): number {
  const at = bytes.indexOf(mark + zeros(digits))
  if (at === -1) throw new Error(`the envelope has no place for the number after "${mark}"`)
  return at + mark.length
}

/** A function that writes the number into a text made from the envelope, to make many records out of one. */
export function numberIn(bytes: Buffer): (value: number) => void {
  const place = placeAfter(bytes, numberMark, numberDigits)
  return (value) => writeDigits(bytes, place, numberDigits, value)
}

/** The number of a stored envelope; undefined when there is none. */
export function numberOf(text: string): number | undefined {
  const found = new RegExp(`${numberMark}(\\d{${numberDigits}})`).exec(text)
  return found ? Number(found[1]) : undefined
}

export function slugOf(association: number): string {
  return slugMark + String(association).padStart(associationDigits, '0')
}

export function placekeyOf(placekey: number): string {
  return `${placekeyMark}${String(placekey).padStart(placekeyDigits, '0')}-22c-at-5sb-8hm-54v`
}

export type RequestBytes = {
  readonly bytes: Buffer
  /** Makes `bytes` the request with this number, association and Placekey. */
  set(number: number, association: number, placekey: number): void
}

/** One request with head and body in one buffer, so that one write sends it. */
export function requestFor(kind: RequestKind, keepAlive: boolean): RequestBytes {
  const body = Buffer.from(JSON.stringify(envelopes[kind]()))
  const head = [
    'POST /receive HTTP/1.1',
    'Host: 127.0.0.1',
    `X-Node-Token: ${kind === 'wrong-token' ? benchToken.replaceAll('b', 'x') : benchToken}`,
    'Content-Type: application/json',
    'Accept: */*',
    ...(keepAlive ? [] : ['Connection: close']),
    `Content-Length: ${body.length}`,
  ]
  const bytes = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
  const setNumber = numberIn(bytes)
  const association = placeAfter(bytes, slugMark, associationDigits)
  const placekey = placeAfter(bytes, placekeyMark, placekeyDigits)
  return {
    bytes,
    set(number, inAssociation, ofPlacekey) {
      setNumber(number)
      writeDigits(bytes, association, associationDigits, inAssociation)
      writeDigits(bytes, placekey, placekeyDigits, ofPlacekey)
    },
  }
}

/** Whether the status is the expected one for this kind of request. */
export function isExpected(kind: RequestKind, status: number): boolean {
  if (kind === 'wrong-token') return status === 401
  if (kind === 'bad-envelope') return status === 422
  return status === 201 || status === 200
}
