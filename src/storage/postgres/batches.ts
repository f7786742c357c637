/**
 * Requests that wait to be stored, and the batches in which they are stored.
 *
 * Invariants
 *   1. Requests of one key are stored in the order of their arrival: they are never in two batches that are under way.
 *   2. A batch that is held up holds up the requests of its own keys. Others wait for it only for `patienceMs`.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Answer } from './answers.ts'

const mostRecords = 64
const mostBytes = 1024 * 1024
/** Each storage rule leaves two of the four connections to the other one. */
const mostUnderWay = 2
/** A second batch is sent only when the first one takes this long, because few large batches carry more than many small ones. */
const patienceMs = 25

export type Waiting = { readonly key: string; readonly bytes: Uint8Array; readonly answer: Answer }

export class Batches<T extends Waiting> {
  readonly #store: (batch: readonly T[]) => Promise<void>
  #queue: T[] = []
  readonly #busy = new Set<string>()
  #underWay = 0
  #late = 0

  /** `store` resolves when every request of the batch has an answer. It never rejects. */
  constructor(store: (batch: readonly T[]) => Promise<void>) {
    this.#store = store
  }

  put(waiting: T): void {
    this.#queue.push(waiting)
    this.#start()
  }

  #start(): void {
    if (this.#underWay === this.#late && this.#underWay < mostUnderWay) void this.#work()
  }

  async #work(): Promise<void> {
    this.#underWay++
    // one turn of the event loop lets requests that have arrived already join this batch
    await nextTurn()
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      await this.#storeOne(batch)
      await nextTurn()
    }
    this.#underWay--
  }

  async #storeOne(batch: readonly T[]): Promise<void> {
    let isLate = false
    const patience = setTimeout(() => {
      isLate = true
      this.#late++
      this.#start()
    }, patienceMs)
    for (const { key } of batch) this.#busy.add(key)
    await this.#store(batch)
    for (const { key } of batch) this.#busy.delete(key)
    clearTimeout(patience)
    if (isLate) this.#late--
  }

  /** Takes the next batch, without requests that were answered already. A single record may be longer than the limit. */
  #take(): readonly T[] {
    const batch: T[] = []
    const left: T[] = []
    let bytes = 0
    let isFull = false
    for (const waiting of this.#queue) {
      if (waiting.answer.isGiven) continue
      const size = waiting.bytes.length
      isFull ||= batch.length === mostRecords || (bytes > 0 && bytes + size > mostBytes)
      if (isFull || this.#busy.has(waiting.key)) left.push(waiting)
      else {
        batch.push(waiting)
        bytes += size
      }
    }
    this.#queue = left
    return batch
  }
}
