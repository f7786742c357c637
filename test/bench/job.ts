/** The jobs that the bench gives to the programs it starts, and their results, all as JSON. */
import type { RequestKind } from './request.ts'

export type LoadJob = {
  readonly port: number
  /** The process id of the server, to read its processor time. */
  readonly pid: number
  readonly kind: RequestKind
  readonly concurrency: number
  readonly keepAlive: boolean
  readonly associations: number
  readonly placekeys: number
  readonly warmMs: number
  readonly measureMs: number
  /** The file for the acknowledged requests, one a line, written when the server is gone. */
  readonly acknowledged: string
  /** If set, the load rests after warming up, and then measures a slice of this length each time it is told to. */
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
  /** The share of one core that the load generator itself took. Near 1, the bench measures the generator. */
  readonly generator?: number
  /** The time from the first request to its receipt, which includes opening and verifying the file on disk. */
  readonly firstMs?: number
}

/** One turn of one side of a pair. */
export type Slice = { readonly requestsPerSecond: number; readonly cpuPerRequest: number }

/** Sent when the measurement is over, while requests go on until the server is killed; then the list is complete. */
export type LoadMessage =
  | { readonly type: 'measured'; readonly measured: Measured }
  | { readonly type: 'failed'; readonly reason: string }
  /** Sent after warming up and after each slice, when all answers are there and nothing is sent. */
  | { readonly type: 'resting'; readonly slice?: Slice }

/** The orders for a load that works in slices: measure one slice, or go on until the server is gone. */
export type LoadOrder = 'slice' | 'go on'

/** The acknowledged requests in the order of their answers. The ticks count the requests and answers of one load generator. */
export type Acknowledged =
  | { readonly slug: string; readonly sequence: number; readonly sha256: string }
  | {
      readonly participant: string
      readonly number: number
      readonly sent: number
      readonly answered: number
    }
