/**
 * The port between the request path and the store. The default is the file store (`files/`). The rest of the program uses only
 * these four functions, so `main.ts` is the only file that knows which store runs.
 *
 * What every store promises: `put` answers `ok: true` only for what is on disk for good; the same append-only envelope is
 * stored once, for ever, whoever sends it however often; an expected fault is a value and never an exception.
 */
import type { RecordStore } from '../../contracts/record.ts'

export type Readiness = {
  /** Why nothing can be stored now, in words for an operator; empty when it can. */
  readonly reasons: readonly string[]
  /** Associations (`<addon>/<slug>`) whose records are refused as damaged. */
  readonly refused: readonly string[]
  /** What an operator should know beside that, such as how many copies there are. */
  readonly notes?: readonly string[]
  /** Associations whose lock another process has kept for so long that nothing can be stored; a store without locks has none. */
  readonly locked?: readonly string[]
  /** Associations whose records are being read after a start; until then their senders may be told to come again. */
  readonly reading?: readonly string[]
}

export type Store = RecordStore & {
  readiness(): Promise<Readiness>
  /** Puts in order what killed processes left. Called once, when requests are already being taken. */
  start(): Promise<void>
  /** Ends what is under way. After it resolves, nothing of the store keeps the process alive. */
  close(): Promise<void>
}
