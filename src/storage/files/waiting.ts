/** The records of one association that wait for their batch. */
import type { Outcome } from '../../../contracts/record.ts'
import type { Draft } from '../../records/batch.ts'

const mostBatchRecords = 64
const mostBatchBytes = 1024 * 1024

export type WaitingRecord = Draft & {
  readonly deadline: number
  /** The time of receipt in an attempt that lost its lock while it wrote. A record that stands there with this time is that one. */
  writtenAt?: string
  readonly answer: (outcome: Outcome) => void
}

/** Takes the next batch out of the queue. A record whose deadline has passed is answered `busy` instead. */
export function takeBatch(queue: WaitingRecord[]): WaitingRecord[] {
  const now = performance.now()
  const batch: WaitingRecord[] = []
  let bytes = 0
  let taken = 0
  for (const waiting of queue) {
    if (batch.length === mostBatchRecords || (bytes > 0 && bytes + waiting.opening.length > mostBatchBytes))
      break
    taken++
    if (waiting.deadline < now) {
      waiting.answer({ ok: false, fault: 'busy' })
      continue
    }
    batch.push(waiting)
    bytes += waiting.opening.length
  }
  queue.splice(0, taken)
  return batch
}

/** Answers `reading` to the records that may not wait until `at`, when the file will have been read, and gives the others. */
export function withoutLate(queue: readonly WaitingRecord[], at: number): WaitingRecord[] {
  for (const { deadline, answer } of queue) if (deadline < at) answer({ ok: false, fault: 'reading' })
  return queue.filter(({ deadline }) => deadline >= at)
}
