/**
 * Notices that this process was stopped a moment ago, by a signal or because the machine stood still. The requests that it
 * reads first afterwards may have waited in the system for as long. Their senders have given up, and may have sent newer
 * envelopes through another receiver. The age of a request does not show this, because it is counted from the reading.
 */
const lookMs = 250
/** A shorter stop does no harm, because its length plus the time that a request has after reading is no longer than the sender waits. */
const stoppedMs = 2_000
/** By then all requests that came during the stop have been read, also on a busy machine. */
const afterwardsMs = 5_000

export class Stopped {
  #seen = performance.now()
  #until = 0
  readonly #looking = setInterval(() => this.#look(), lookMs).unref()

  get recently(): boolean {
    // The check runs now, because after a stop requests are read before timers run.
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
