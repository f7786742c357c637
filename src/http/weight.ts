/**
 * Keeps large bodies from slowing down other senders. Small bodies pass at once. Of large bodies only so many bytes are in
 * flight at one time, so that they fit into memory, and they are parsed one after another, so that the only thread is free in
 * between.
 */

/** In bytes. The addons send smaller bodies. */
export const smallBody = 64 * 1024

/** How many bytes of large bodies may be between head and answer at one time. A single body always fits. */
const capacity = 16 * 1024 * 1024
/** A body that does not fit waits at most so long. */
const waitMs = 1_000

type Release = () => void

export class Scale {
  readonly #capacity: number
  #taken = 0
  readonly #waiting: { readonly bytes: number; readonly admit: () => void }[] = []

  constructor(most = capacity) {
    this.#capacity = most
  }

  /** Admits bodies in the order of arrival. Undefined when there was no room within `waitMs`. */
  async admit(bytes: number): Promise<Release | undefined> {
    const isIn = this.#waiting.length === 0 && this.#fits(bytes) ? true : await this.#room(bytes)
    if (!isIn) return undefined
    let isHeld = true
    return () => {
      if (isHeld) this.#give(bytes)
      isHeld = false
    }
  }

  #fits(bytes: number): boolean {
    if (this.#taken > 0 && this.#taken + bytes > this.#capacity) return false
    this.#taken += bytes
    return true
  }

  #room(bytes: number): Promise<boolean> {
    return new Promise((resolve) => {
      const waiter = {
        bytes,
        admit: () => {
          clearTimeout(timer)
          resolve(true)
        },
      }
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
        resolve(false)
        this.#admitNext()
      }, waitMs)
      this.#waiting.push(waiter)
    })
  }

  #give(bytes: number): void {
    this.#taken -= bytes
    this.#admitNext()
  }

  #admitNext(): void {
    for (let [next] = this.#waiting; next && this.#fits(next.bytes); [next] = this.#waiting) {
      this.#waiting.shift()
      next.admit()
    }
  }
}

/**
 * Gives turns to work that holds the thread for a while. Between two turns there is a pause as long as the last turn took, in which
 * requests with small bodies go through all their steps.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve()

  /** Resolves when the turn begins, with the function that ends the turn. */
  async take(): Promise<Release> {
    const before = this.#last
    let end: Release = () => {}
    this.#last = new Promise((resolve) => {
      end = resolve
    })
    await before
    const began = performance.now()
    // first a timer of 0 ms, because work that the turn began still runs when the turn is ended
    return () => setTimeout(() => setTimeout(end, performance.now() - began), 0)
  }
}
