/** One request, as the log will tell of it: never a token, an envelope's content or a participant. */

export type Visit = {
  /** The caller's `X-Request-Id` where it is fit for a header and a log line, else a new one. */
  readonly id: string
  /** On the clock of `performance.now()`. */
  readonly arrived: number
  /** A valid node token came with it. */
  isKnown?: boolean
  bytes?: number
  addon?: string
  association?: string
  /** How many violations a refused envelope has. */
  violations?: number
}

const fit = /^[A-Za-z0-9._-]{1,64}$/

/** `sent` is what came as `X-Request-Id`. */
export function visitOf(sent: string | null | undefined): Visit {
  const id = sent && fit.test(sent) ? sent : crypto.randomUUID()
  return { id, arrived: performance.now() }
}
