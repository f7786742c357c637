/**
 * Keeps the records of one association as columns of numbers: the place of each record in the file, and the values by which the
 * table filters. A row costs about 40 bytes, so a million rows fit. Everything else is read from the file when a record is
 * shown.
 */
import type { JsonObject } from '../../../contracts/contract.ts'
import { paymentMember } from '../addons.ts'
import type { Link } from '../verify/chain.ts'

type PaymentKind = 'named' | 'no hash' | 'none'

export type Filter = {
  /** A text to be found anywhere in a record, without regard to upper and lower case. */
  readonly text: string
  readonly participant: string
  readonly scenario: string
  readonly standing: string
  readonly payment: PaymentKind | ''
  /** Days as `2026-07-02`, both counted; '' for no bound. */
  readonly receivedFrom: string
  readonly receivedTo: string
  readonly submittedFrom: string
  readonly submittedTo: string
}

export const everything: Filter = {
  text: '',
  participant: '',
  scenario: '',
  standing: '',
  payment: '',
  receivedFrom: '',
  receivedTo: '',
  submittedFrom: '',
  submittedTo: '',
}

const payments: readonly PaymentKind[] = ['none', 'named', 'no hash']
const day = 86_400_000

/** A list of numbers in one growing buffer. */
class Growing {
  #numbers = new Float64Array(1024)
  length = 0

  push(number: number): void {
    if (this.length === this.#numbers.length) {
      const grown = new Float64Array(this.length * 2)
      grown.set(this.#numbers)
      this.#numbers = grown
    }
    this.#numbers[this.length++] = number
  }

  at(index: number): number {
    return this.#numbers[index] as number
  }
}

/** Gives each different text a number, because the same texts come again and again. */
class Words {
  readonly #numbers = new Map<string, number>()
  readonly words: string[] = []

  numberOf(word: string): number {
    const found = this.#numbers.get(word)
    if (found !== undefined) return found
    this.#numbers.set(word, this.words.length)
    return this.words.push(word) - 1
  }

  get sorted(): string[] {
    return [...this.words].sort()
  }
}

export class Columns {
  readonly #offset = new Growing()
  readonly #length = new Growing()
  readonly #line = new Growing()
  readonly #sequence = new Growing()
  readonly #received = new Growing()
  readonly #submitted = new Growing()
  readonly #participant = new Growing()
  readonly #pins = new Growing()
  readonly #standing = new Growing()
  readonly #payment = new Growing()
  readonly #participants = new Words()
  readonly #scenarios = new Words()
  readonly #standings = new Words()

  /** Adds a row from the chain. The content of the record is added later, by `describe`. */
  add({ offset, length, line, sequence, received_at }: Link): void {
    this.#offset.push(offset)
    this.#length.push(length)
    this.#line.push(line)
    this.#sequence.push(sequence)
    this.#received.push(Date.parse(received_at))
  }

  get length(): number {
    return this.#offset.length
  }

  /** How many rows are described already. */
  get described(): number {
    return this.#participant.length
  }

  where(index: number): { offset: number; length: number; line: number; sequence: number } {
    return {
      offset: this.#offset.at(index),
      length: this.#length.at(index),
      line: this.#line.at(index),
      sequence: this.#sequence.at(index),
    }
  }

  /** The first row of a sequence; -1 for none. */
  indexOf(sequence: number): number {
    // nearly always a record stands at the place of its sequence
    if (this.#sequence.at(sequence - 1) === sequence) return sequence - 1
    for (let index = 0; index < this.length; index++) if (this.#sequence.at(index) === sequence) return index
    return -1
  }

  /** Adds the content of the next row. */
  describe(record: JsonObject | undefined): void {
    const text = (name: string): string => {
      const value = record && Object.hasOwn(record, name) ? record[name] : undefined
      return typeof value === 'string' ? value : ''
    }
    const pins = record && Object.hasOwn(record, 'pinned_scenario_ids') ? record.pinned_scenario_ids : []
    this.#participant.push(this.#participants.numberOf(text('participant_id')))
    this.#submitted.push(Date.parse(text('submitted_at')))
    this.#standing.push(this.#standings.numberOf(text('standing')))
    this.#pins.push(this.#scenarios.numberOf(JSON.stringify(Array.isArray(pins) ? pins.map(String) : [])))
    const isRaw = record !== undefined && Object.hasOwn(record, 'g1_tx_hash_raw')
    this.#payment.push(text(paymentMember) !== '' ? 1 : isRaw ? 2 : 0)
  }

  get choices(): Choices {
    const scenarios = new Set(this.#scenarios.words.flatMap(idsIn).filter(Boolean))
    return {
      participants: this.#participants.sorted.filter(Boolean),
      standings: this.#standings.sorted.filter(Boolean),
      scenarios: [...scenarios].sort(),
    }
  }

  /** The rows that pass the filter, except for the text, which is not in the columns. */
  passing(filter: Filter): number[] {
    const participant = this.#participants.words.indexOf(filter.participant)
    const standing = this.#standings.words.indexOf(filter.standing)
    const payment = payments.indexOf(filter.payment as PaymentKind)
    const pins = this.#scenarios.words.map((word) => idsIn(word).includes(filter.scenario))
    const received = span(filter.receivedFrom, filter.receivedTo)
    const submitted = span(filter.submittedFrom, filter.submittedTo)
    const found: number[] = []
    for (let index = 0; index < this.described; index++) {
      if (filter.participant !== '' && this.#participant.at(index) !== participant) continue
      if (filter.standing !== '' && this.#standing.at(index) !== standing) continue
      if (filter.payment !== '' && this.#payment.at(index) !== payment) continue
      if (filter.scenario !== '' && !pins[this.#pins.at(index)]) continue
      if (!received(this.#received.at(index)) || !submitted(this.#submitted.at(index))) continue
      found.push(index)
    }
    return found
  }
}

/** A list of ids is kept as JSON, because an id may hold any character. */
const idsIn = (word: string): string[] => JSON.parse(word) as string[]

export type Choices = {
  readonly participants: readonly string[]
  readonly standings: readonly string[]
  readonly scenarios: readonly string[]
}

/** Whether a time lies within two days, both included, in UTC. A value that is no time passes only without bounds. */
function span(from: string, to: string): (ms: number) => boolean {
  if (from === '' && to === '') return () => true
  const begins = from === '' ? Number.NEGATIVE_INFINITY : Date.parse(from)
  const ends = to === '' ? Number.POSITIVE_INFINITY : Date.parse(to) + day
  return (ms) => ms >= begins && ms < ends
}
