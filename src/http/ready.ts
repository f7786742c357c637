/** The reasons why nothing can be stored at the moment, for the answer of `GET /ready` and, by kind, for the metrics. */
import type { Closed } from './receive.ts'

export type Reason = {
  /** One of a few words, for a metric. */
  readonly kind: string
  /** A sentence for the operator. */
  readonly text: string
}

/** The reason of the receiver itself, followed by those of the store. */
export function reasonsOf(closed: Closed | undefined, ofStore: readonly Reason[]): readonly Reason[] {
  if (closed === undefined) return ofStore
  const { kind } = closed
  return [{ kind, text: kind === 'paused' ? `paused: ${closed.reason}` : kind }, ...ofStore]
}
