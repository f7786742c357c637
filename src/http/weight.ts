/**
 * What one sender costs the others. Small bodies pass. Large ones are weighed by their bytes, so that those in flight fit into
 * memory, and are worked on one after another, so that the only thread is free between them.
 */

/** Bytes. What addons send is smaller. */
export const smallBody = 64 * 1024

/** Bytes of large bodies between head and answer at one time; one body always fits. */
const capacity = 16 * 1024 * 1024
/** A body that does not fit waits for so long. */
const waitMs = 1_000

type Release = () => void

export class Scale {
  readonly #capacity: number
  #taken = 0
  readonly #waiting: { readonly bytes: number; readonly admit: () => void }[] = []

  constructor(most = capacity) {
    this.#capacity = most
  }

  /** In order of arrival. Undefined when there was no room in time. */
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
 * Work that holds the thread for a while, one after another. Between two, as much time passes as the last one took: in it the
 * requests with small bodies go through all their steps.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve()

  /** Resolves when it is this one's turn, with what ends the turn. */
  async take(): Promise<Release> {
    const before = this.#last
    let end: Release = () => {}
    this.#last = new Promise((resolve) => {
      end = resolve
    })
    await before
    const began = performance.now()
    // a timer of its own, since what was begun in the turn still runs when it is ended
    return () => setTimeout(() => setTimeout(end, performance.now() - began), 0)
  }
}
