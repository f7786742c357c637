/**
 * The port between the request path and the store. The default is the file store (`files/`). The rest of the program uses only
 * these four functions, so `main.ts` is the only file that knows which store runs.
 *
 * Every store promises: `put` answers `ok: true` only when the record is on disk for good; the same append-only envelope is stored
 * once, whoever sends it and however often; an expected fault is a value and never an exception.
 */
import type { RecordStore } from '../../contracts/record.ts'

/** Why nothing can be stored: one of a few kinds, for a metric, and a sentence for an operator. */
export type Reason = {
  readonly kind: 'data-directory' | 'disk-full' | 'disk-error' | 'rights' | 'open-files' | 'database'
  readonly text: string
}

export type Readiness = {
  /** Empty when records can be stored. */
  readonly reasons: readonly Reason[]
  /** Associations (`<addon>/<slug>`) whose records are refused as damaged. */
  readonly refused: readonly string[]
  /** Other things that an operator should know, such as how many copies of the data there are. */
  readonly notes?: readonly string[]
  /** Synchronous standbys that are attached to a database; 0 also when its commits wait for none. Files have none. */
  readonly standbys?: number | undefined
  /** Associations that cannot be stored to because another process has kept their lock for long. A store without locks has none. */
  readonly locked?: readonly string[]
  /** Associations whose records are still being read after a start. Their senders may be told to send again. */
  readonly reading?: readonly string[]
}

export type Store = RecordStore & {
  readiness(): Promise<Readiness>
  /** Repairs what killed processes left. Called once, when requests are already being accepted. */
  start(): Promise<void>
  /** Waits for the work under way and ends it. Afterwards nothing of the store keeps the process alive. */
  close(): Promise<void>
}
