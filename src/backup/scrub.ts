/**
 * Which copies are read and compared with their hash in this run although nothing says that anybody touched them: a disk
 * alters bytes without a new time of change. Every run takes the next slice, in the order of the names, and begins again at the
 * end. The place where the slice ends is in the signed manifest.
 *
 * A slice is 64 MiB, or more when runs are rare: all of it within 30 days. So a backup of up to 64 MiB is read whole by every
 * run, and one of 4 GB within an hour and a quarter when a run is made every minute. Until its turn comes, a byte that the disk
 * altered is not known; the data directory still has the good one.
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

  /** `last`: what the manifest says; undefined when everything is to be read. */
  constructor(last: LastScrub | undefined, now: Date) {
    const elapsed = last ? now.getTime() - Date.parse(last.made_at) : 0
    const share = last ? (last.weight * elapsed) / wholeWithinMs : 0
    this.#left = last ? Math.max(leastSlice, share) : Number.POSITIVE_INFINITY
    this.#cursor = last?.scrubbed_to ?? ''
  }

  /** Asked for every copy, in order. */
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

  /** Where the next run goes on; '' when the end was reached. */
  get next(): string {
    return this.#isPast ? this.#cursor : ''
  }
}
