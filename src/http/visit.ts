/** What the log will say about one request. It never holds a token, content of an envelope or a participant. */

export type Visit = {
  /** The caller's `X-Request-Id` if it is fit for a header and a log line; otherwise a new id. */
  readonly id: string
  /** On the clock of `performance.now()`. */
  readonly arrived: number
  /** The request presented a valid node token. */
  isKnown?: boolean
  bytes?: number
  addon?: string
  association?: string
  /** How many violations a refused envelope has. */
  violations?: number
  /** Members of the contract in which, or below which, the violations are. */
  pointers?: readonly string[]
}

const fit = /^[A-Za-z0-9._-]{1,64}$/

/** `sent` is the value of the header `X-Request-Id`. */
export function visitOf(sent: string | null | undefined): Visit {
  const id = sent && fit.test(sent) ? sent : crypto.randomUUID()
  return { id, arrived: performance.now() }
}
