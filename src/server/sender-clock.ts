/**
 * How far the clock of this machine is from its senders', as far as `submitted_at` tells. A post may come hours late out of a spool,
 * and one sender may have a wrong clock; so of the last posts the one counts that is nearest to the clock here.
 */
const mostPosts = 20

export class SenderClock {
  readonly #agoMs: number[] = []

  /** A post was submitted so long ago, on the clock of this machine; negative when that is still to come. */
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
