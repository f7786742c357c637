/** Checks that every `received_at` is a time, and that the times follow each other, because the receiver writes them in order. */
import type { Link } from './chain.ts'
import type { FileFinding } from './finding.ts'

/** A correction of the clock by a time server is smaller; a larger step was made by somebody. */
const toleratedMs = 1_000
const mostTold = 20

export class Clock {
  #last = ''
  #lastMs = Number.NEGATIVE_INFINITY
  readonly #found: FileFinding[] = []
  #more = 0

  see({ sequence, line, received_at }: Link): void {
    if (received_at === this.#last) return
    const ms = Date.parse(received_at)
    if (Number.isNaN(ms) || new Date(ms).toISOString() !== received_at) {
      this.#tell(noTime(sequence, line))
      return
    }
    if (ms < this.#lastMs - toleratedMs) this.#tell({ ...outOfOrder, record: sequence, line })
    this.#last = received_at
    this.#lastMs = ms
  }

  findings(): FileFinding[] {
    if (this.#more === 0) return this.#found
    return [
      ...this.#found,
      { ...outOfOrder, kind: 'more', what: `${this.#more} more times of receipt are out of order` },
    ]
  }

  #tell(told: FileFinding): void {
    if (this.#found.length < mostTold) this.#found.push(told)
    else this.#more++
  }
}

function noTime(sequence: number, line: number): FileFinding {
  return {
    level: 'finding',
    kind: 'clock',
    record: sequence,
    line,
    what: 'has a received_at that is no time',
    meaning: 'The receiver does not write this, so another program wrote it.',
  }
}

const outOfOrder: FileFinding = {
  level: 'finding',
  kind: 'clock',
  what: 'was received before the record that stands before it',
  meaning:
    "The order of the records is certain, the times are not: either the receiver's clock was set back, or another program wrote this time. Ask the operator.",
}
