/**
 * Estimates from `submitted_at` how far the clock of this machine is from the clocks of the senders. A post may come hours late
 * out of a spool, and one sender may have a wrong clock. So of the last posts the one that is nearest to the clock here counts.
 */
const mostPosts = 20

export class SenderClock {
  readonly #agoMs: number[] = []

  /** Called with the age of a post on the clock of this machine; negative when `submitted_at` is in the future. */
  came(agoMs: number): void {
    this.#agoMs.push(agoMs)
    if (this.#agoMs.length > mostPosts) this.#agoMs.shift()
  }

  /** Undefined before the first post. */
  get seconds(): number | undefined {
    const [first, ...others] = this.#agoMs
    if (first === undefined) return undefined
    return others.reduce((nearest, ms) => (Math.abs(ms) < Math.abs(nearest) ? ms : nearest), first) / 1000
  }
}
