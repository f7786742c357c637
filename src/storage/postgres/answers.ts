/** The answer to a request that waits to be stored, with its own timer. When it runs out, a statement under way is not cancelled. */
import type { Fault, Outcome } from '../../../contracts/record.ts'

/** A request is answered this long before its deadline, because the answer still has to travel. */
const reserveMs = 1_000

/** The latest time, on the clock of `performance.now()`, at which a request with this deadline is answered. */
function answerBy(deadline: number): number {
  return deadline - reserveMs
}

export class Answer {
  readonly promise: Promise<Outcome>
  readonly by: number
  readonly #timer: NodeJS.Timeout
  #give: (outcome: Outcome) => void = () => {}
  #isGiven = false

  constructor(deadline: number) {
    this.by = answerBy(deadline)
    this.promise = new Promise((resolve) => {
      this.#give = resolve
    })
    this.#timer = setTimeout(() => this.fail('busy'), Math.max(0, this.by - performance.now()))
  }

  get isGiven(): boolean {
    return this.#isGiven || performance.now() >= this.by
  }

  give(outcome: Outcome): void {
    if (this.#isGiven) return
    this.#isGiven = true
    clearTimeout(this.#timer)
    this.#give(outcome)
  }

  fail(fault: Fault): void {
    this.give({ ok: false, fault })
  }
}
