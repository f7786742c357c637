/** What the bench asks of the programs that it starts, and what they tell. Handed over as JSON. */
import type { Kind } from './request.ts'

export type LoadJob = {
  readonly port: number
  /** The server's, for its processor time. */
  readonly pid: number
  readonly kind: Kind
  readonly concurrency: number
  readonly keepAlive: boolean
  readonly associations: number
  readonly placekeys: number
  readonly warmMs: number
  readonly measureMs: number
  /** Acknowledged requests are written here when the server is gone, one a line. */
  readonly acknowledged: string
  /** After warming up it rests, and then measures a slice of this length each time that it is told to. */
  readonly sliceMs?: number
}

export type LoopJob = {
  readonly directory: string
  readonly warmMs: number
  readonly measureMs: number
} & (
  | { readonly loop: 'append'; readonly recordsPerSync: number }
  | { readonly loop: 'rename'; readonly concurrency: number; readonly files: number }
)

export type Measured = {
  readonly requestsPerSecond: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** User and system time of the measured process, in microseconds per request. */
  readonly cpuPerRequest: number
  readonly requests: number
  readonly seconds: number
  /** The share of one core that the load generator itself took. Near 1, the generator is what is measured. */
  readonly generator?: number
  /** From the first request to its receipt: opening and verifying what is on disk is in it. */
  readonly firstMs?: number
}

/** One turn of one side of a pair. */
export type Slice = { readonly requestsPerSecond: number; readonly cpuPerRequest: number }

/** Sent when the measurement is over, while requests go on until the server is killed; then the list is complete. */
export type LoadMessage =
  | { readonly type: 'measured'; readonly measured: Measured }
  | { readonly type: 'failed'; readonly reason: string }
  /** All answers are there, and nothing is sent: told after warming up and after each slice. */
  | { readonly type: 'resting'; readonly slice?: Slice }

/** What a load that works in slices is told: to measure one, or to go on until the server is gone. */
export type LoadOrder = 'slice' | 'go on'

/** In the order in which they were answered. The ticks count sendings and answers of one load generator. */
export type Acknowledged =
  | { readonly slug: string; readonly sequence: number; readonly sha256: string }
  | {
      readonly participant: string
      readonly number: number
      readonly sent: number
      readonly answered: number
    }
