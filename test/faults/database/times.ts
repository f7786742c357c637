/**
 * Notes how long senders waited for an answer, how long the receivers took for it, and how long this process stood still. Senders wait
 * longer than the receiver takes, because this process sends and forwards for many of them. Only the time in a receiver is judged, and
 * only when it is far over the limit, because a machine may be busy with other work.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isStored, type Ledger } from '../load.ts'

/** The time limit of SPEC 2. */
const limitMs = 10_000
/** No machine is so busy that a receiver which keeps the limit needs so long. */
export const farTooLongMs = 2 * limitMs

export class Times {
  readonly #silences: number[] = []
  #longestWait = 0
  #longWaits = 0
  #longestInReceiver = 0
  #longInReceiver = 0
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

  /** `logs` are of the receivers that were never stopped; answers of others do not count. False: a receiver took far too long. */
  answers(ledger: Ledger, logs: readonly string[]): boolean {
    const inReceiver = new Map(logs.flatMap(timesIn))
    let longest = 0
    for (const { id, ms, answer } of ledger.sent.flatMap(({ attempts }) => attempts)) {
      const took = inReceiver.get(id ?? '')
      if (!answer || took === undefined) continue
      longest = Math.max(longest, took)
      this.#longestWait = Math.max(this.#longestWait, ms)
      if (ms > limitMs) this.#longWaits++
      if (took > limitMs) this.#longInReceiver++
    }
    this.#longestInReceiver = Math.max(this.#longestInReceiver, longest)
    return longest < farTooLongMs
  }

  get text(): string {
    const silences = this.#silences.sort((a, b) => a - b)
    const silence =
      silences.length > 0
        ? `nothing acknowledged for at most ${seconds(silences.at(-1))} (median ${seconds(silences[silences.length >> 1])}); `
        : ''
    const [wait, took, still] = [this.#longestWait, this.#longestInReceiver, this.#delay.max / 1e6].map(
      seconds,
    )
    return `${silence}longest wait for an answer ${wait}, in the receiver ${took}; more than 10 s: ${this.#longWaits}, in the receiver ${this.#longInReceiver} (the suite itself stood still for at most ${still})`
  }
}

/** The time that the receiver took for each request, by its id. */
function timesIn(log: string): [string, number][] {
  return [...log.matchAll(/"request_id":"([^"]+)".*"ms":([\d.]+)/g)].map(([, id, ms]) => [
    String(id),
    Number(ms),
  ])
}

function seconds(ms = 0): string {
  return `${(ms / 1000).toFixed(1)} s`
}
