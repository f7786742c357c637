/**
 * Decides which copies a run reads and compares with their hash although no program has touched them, because a disk can alter
 * bytes without setting a new time of change. Every run takes the next slice of the copies, in the order of their names, and
 * after the last copy begins again with the first. The signed manifest holds the place where the slice ends.
 *
 * A slice has 64 MiB, or more when runs are rare, so that every copy is read within 30 days. A backup of up to 64 MiB is read
 * whole in every run, and a backup of 4 GB takes an hour and a quarter with a run every minute. An altered byte is found when
 * its slice is read; until then the data directory still has the good byte.
 */
const leastSlice = 64 * 1024 * 1024
const wholeWithinMs = 30 * 24 * 60 * 60 * 1_000
/** Opening and closing a file costs as much as reading this many bytes. */
const leastWeight = 32 * 1024

export function weightOf(bytes: number): number {
  return Math.max(bytes, leastWeight)
}

export type LastScrub = { readonly scrubbed_to: string; readonly made_at: string; readonly weight: number }

export class Scrub {
  #left: number
  #cursor: string
  #isPast = false

  /** `last` is from the manifest; undefined when everything is to be read. */
  constructor(last: LastScrub | undefined, now: Date) {
    const elapsed = last ? now.getTime() - Date.parse(last.made_at) : 0
    const share = last ? (last.weight * elapsed) / wholeWithinMs : 0
    this.#left = last ? Math.max(leastSlice, share) : Number.POSITIVE_INFINITY
    this.#cursor = last?.scrubbed_to ?? ''
  }

  /** Whether this copy is read in this run. Called for every copy, in the order of their names. */
  due(name: string, bytes: number): boolean {
    if (name <= this.#cursor) return false
    if (this.#left <= 0) {
      this.#isPast = true
      return false
    }
    this.#left -= weightOf(bytes)
    this.#cursor = name
    return true
  }

  /** The name at which the next run goes on; '' when the last copy was reached. */
  get next(): string {
    return this.#isPast ? this.#cursor : ''
  }
}
