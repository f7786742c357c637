/** How far the reading of a long file has come, and how long it will still take. */

/**
 * The speed is measured from the first part on, and for so long before it counts: a process that has just started is slow at first,
 * and a post must not be refused because of that.
 */
const sureAfterMs = 1_000

export class FileReading {
  readonly #size: number
  #offset = 0
  #first: { readonly at: number; readonly offset: number } | undefined

  constructor(size: number) {
    this.#size = size
  }

  reached(offset: number): void {
    this.#offset = offset
    this.#first ??= { at: performance.now(), offset }
  }

  /** 0 as long as the speed is not known. */
  get leftMs(): number {
    if (!this.#first) return 0
    const ms = performance.now() - this.#first.at
    const read = this.#offset - this.#first.offset
    return ms < sureAfterMs || read <= 0 ? 0 : (ms * (this.#size - this.#offset)) / read
  }
}
