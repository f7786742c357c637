/**
 * Whether this process was stopped a moment ago, by a signal or by a machine that stood still. What it reads first when it
 * goes on may have lain in the system for as long: its sender has given up, and may have sent something newer by way of
 * another receiver since. The age of a request cannot tell, because it begins when the request is read.
 */
const lookMs = 250
/** With the time that is given to a request once it is read, this is no longer than its sender waits. */
const stoppedMs = 2_000
/** Until everything has been read that had come meanwhile, on a machine that has much to catch up with, too. */
const afterwardsMs = 5_000

export class Stopped {
  #seen = performance.now()
  #until = 0
  readonly #looking = setInterval(() => this.#look(), lookMs).unref()

  get recently(): boolean {
    // after a stop, requests are read before timers are called
    this.#look()
    return this.#seen < this.#until
  }

  close(): void {
    clearInterval(this.#looking)
  }

  #look(): void {
    const now = performance.now()
    if (now - this.#seen > stoppedMs) this.#until = now + afterwardsMs
    this.#seen = now
  }
}
