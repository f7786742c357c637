/**
 * Notes how long senders waited, and how long this process, which sends and forwards, stood still itself. The times are printed and never
 * judged, because a machine may be busy with other work.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isStored, type Ledger } from '../load.ts'

/** The time limit of SPEC 2. */
const limitMs = 10_000

export class Times {
  readonly #silences: number[] = []
  #longestAnswer = 0
  #late = 0
  readonly #delay = monitorEventLoopDelay()

  constructor() {
    this.#delay.enable()
  }

  /** Notes the longest time from a fault until now in which nothing was acknowledged. */
  silence(ledger: Ledger, from: number): void {
    const now = performance.now()
    const times = ledger.sent.flatMap(({ attempts }) =>
      attempts.flatMap(({ answer, endedAt }) => (isStored(answer) && endedAt > from ? [endedAt] : [])),
    )
    const all = [from, ...times.sort((a, b) => a - b), now]
    this.#silences.push(Math.max(...all.slice(1).map((at, index) => at - (all[index] as number))))
  }

  answers(ledger: Ledger): void {
    for (const { attempts } of ledger.sent) {
      for (const { ms } of attempts) {
        this.#longestAnswer = Math.max(this.#longestAnswer, ms)
        if (ms > limitMs) this.#late++
      }
    }
  }

  get text(): string {
    const silences = this.#silences.sort((a, b) => a - b)
    const silence =
      silences.length > 0
        ? `nothing acknowledged for at most ${seconds(silences.at(-1))} (median ${seconds(silences[silences.length >> 1])}); `
        : ''
    return `${silence}longest wait for an answer ${seconds(this.#longestAnswer)}, later than 10 s: ${this.#late} (the suite itself stood still for at most ${seconds(this.#delay.max / 1e6)})`
  }
}

function seconds(ms = 0): string {
  return `${(ms / 1000).toFixed(1)} s`
}
