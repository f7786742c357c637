/** The one place that reports an answered request: as one line in the log, and as one count in the metrics. */
import type { Log } from '../log.ts'
import type { Visit } from './visit.ts'

/** Counts the answers, for `GET /metrics`. */
export type Metrics = {
  readonly contentType: string
  text(): Promise<string>
  answered(answer: {
    readonly addon?: string
    readonly status: number
    /** What was done with the envelope, or the name of the refusal. */
    readonly outcome: string
    readonly bytes?: number
    readonly ms: number
  }): void
}

/** `outcome` is the outcome of the storage, such as `appended`, or the name of the refusal. */
export type Tell = (visit: Visit, status: number, outcome: string) => void

/** Refusals without a valid token: so many of each kind get a log line of their own in each second. */
const mostStrangersLines = 10
const windowMs = 1_000

/**
 * Every request gets a log line, except in a flood from senders without the token. Of such refusals the first ten of each kind in
 * each second get a line, and one more line gives the number of the others. The metrics count every request.
 */
export function teller(
  log: Log,
  metrics?: Pick<Metrics, 'answered'>,
): {
  readonly tell: Tell
  /** Logs the numbers of the floods that are not over; called before the process ends. */
  end(): void
} {
  const floods = new Map<string, { lines: number; more: number; over(): void }>()
  const isOneTooMany = (outcome: string, status: number): boolean => {
    const flood = floods.get(outcome)
    if (flood) return flood.lines++ >= mostStrangersLines && ++flood.more > 0
    const begun = {
      lines: 1,
      more: 0,
      over(): void {
        clearTimeout(timer)
        floods.delete(outcome)
        const { more } = begun
        if (more > 0) log.info({ status, outcome, more }, 'requests that have no line of their own')
      },
    }
    const timer = setTimeout(begun.over, windowMs)
    floods.set(outcome, begun)
    return false
  }
  const tell: Tell = (visit, status, outcome) => {
    const { id, arrived, isKnown, ...fields } = visit
    const ms = Math.round((performance.now() - arrived) * 1000) / 1000
    metrics?.answered({ ...fields, status, outcome, ms })
    if (!isKnown && status >= 400 && isOneTooMany(outcome, status)) return
    log.info({ request_id: id, status, outcome, ...fields, ms }, 'request')
  }
  return {
    tell,
    end() {
      for (const flood of floods.values()) flood.over()
    },
  }
}
