/** How far the reading of a long file has come, and how long it will still take. */

/**
 * The speed is measured from the first part on, and for so long before it counts: a process that has just started is slow at first,
 * and a post must not be refused because of that. The slowest part does not count either, because one pause says nothing about the rest.
 */
const sureAfterMs = 1_000

type Part = { readonly ms: number; readonly bytes: number }

export class FileReading {
  readonly #size: number
  #offset = 0
  #reachedAt: number | undefined
  #measured: Part = { ms: 0, bytes: 0 }
  #slowest: Part = { ms: 0, bytes: 0 }

  constructor(size: number) {
    this.#size = size
  }

  reached(offset: number): void {
    const now = performance.now()
    if (this.#reachedAt !== undefined) {
      const part = { ms: now - this.#reachedAt, bytes: offset - this.#offset }
      this.#measured = { ms: this.#measured.ms + part.ms, bytes: this.#measured.bytes + part.bytes }
      if (part.ms > this.#slowest.ms) this.#slowest = part
    }
    this.#reachedAt = now
    this.#offset = offset
  }

  /** 0 as long as the speed is not known. */
  get leftMs(): number {
    const ms = this.#measured.ms - this.#slowest.ms
    const bytes = this.#measured.bytes - this.#slowest.bytes
    return ms < sureAfterMs || bytes <= 0 ? 0 : (ms * (this.#size - this.#offset)) / bytes
  }
}
