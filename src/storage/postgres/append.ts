/**
 * Append-only: stores the records of one association in rows that no role may change.
 *
 * Invariants
 *   1. A receipt leaves only when the commit of its batch came back without a warning. Then the batch is on the standby, too.
 *   2. A duplicate is answered only when a commit that began after reading the record came back, because a record that was only read
 *      may be on one disk.
 *   3. The database compares and moves the head. The head that this process remembers is a guess; a wrong guess costs one more turn.
 *   4. One record never fails the others of its batch, except where none can be stored.
 *
 * Life of a record
 *   1. `put` computes its id and its line up to the receipt, and queues it with a timer.
 *   2. All waiting records become one batch. If the head is not known, one statement reads the head and finds the records of the
 *      batch that are stored already.
 *   3. The new records are chained behind the head and inserted with one statement. If no record is new, an empty commit is made.
 *   4. If another writer was first, or the connection broke, it begins again at 2, as long as a sender waits. Reading shows whether
 *      the broken statement took effect.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { AcceptedRecord, Fault, Outcome, Receipt } from '../../../contracts/record.ts'
import { type Draft, draftOf } from '../../records/batch.ts'
import { longestRecord } from '../../records/lines.ts'
import { Answer, takeBatch } from './answers.ts'
import type { Connection } from './connection.ts'
import { codeOf, meaningOf } from './fault.ts'
import { confirm, type Shared } from './shared.ts'
import {
  type AssociationName,
  barrier,
  insertBehind,
  lookFor,
  type StoredLine,
  type TableHead,
} from './statements.ts'

/** A receiver writes for at most this long without a pause, so that another receiver, which lost the race, can read the head. */
const turnMs = 100
const pauseMs = 5
/** The pause before a batch is tried again on another connection. */
const brokenPauseMs = 100
/**
 * The longest pause before a batch is tried behind another head. The length is random, so that two receivers do not collide
 * again.
 */
const longestLossPauseMs = 20

type WaitingDraft = Draft & { readonly answer: Answer }

export class AppendQueue {
  readonly #of: AssociationName
  readonly #shared: Shared
  readonly #queue: WaitingDraft[] = []
  #head: TableHead | undefined
  #working: Promise<void> | undefined
  #damaged = false

  constructor(of: AssociationName, shared: Shared) {
    this.#of = of
    this.#shared = shared
  }

  get isIdle(): boolean {
    return this.#working === undefined
  }

  get isDamaged(): boolean {
    return this.#damaged
  }

  put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const { id, opening } = draftOf(record)
    if (opening.length > longestRecord) return Promise.resolve({ ok: false, fault: 'long' })
    const answer = new Answer(deadline)
    this.#queue.push({ id, opening, answer })
    this.#start()
    return answer.promise
  }

  #start(): void {
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined
      if (this.#queue.length > 0) this.#start()
    })
  }

  async #work(): Promise<void> {
    let turn = performance.now()
    while (this.#queue.length > 0) {
      // one turn of the event loop lets records that have arrived already join this batch
      await nextTurn()
      const batch = takeBatch(this.#queue, ({ opening }) => opening.length)
      if (batch.length === 0) continue
      await this.#store(batch)
      if (performance.now() - turn < turnMs) continue
      await sleep(pauseMs)
      turn = performance.now()
    }
  }

  /** Stores the batch; resolves when every record has an answer. */
  async #store(batch: readonly WaitingDraft[]): Promise<void> {
    let losses = 0
    for (let waiting = batch; waiting.length > 0; waiting = waiting.filter(({ answer }) => !answer.isGiven)) {
      const until = Math.max(...waiting.map(({ answer }) => answer.by))
      try {
        const { connections } = this.#shared
        const stored = await connections.with(until, (connection) => this.#attempt(connection, waiting))
        this.#damaged = false
        return giveReceipts(waiting, stored)
      } catch (error) {
        this.#head = undefined
        const meaning = meaningOf(error)
        if (meaning.kind === 'fault') {
          this.#note(error, meaning.fault, meaning.reason)
          for (const { answer } of waiting) answer.fail(meaning.fault)
          continue
        }
        this.#shared.observer?.again(meaning.kind)
        if (meaning.kind === 'broken') await sleep(brokenPauseMs)
        else await sleep(Math.random() * Math.min(losses++ * 2, longestLossPauseMs))
      }
    }
  }

  /** Tries to store the batch once. Gives all records of the batch by id, and which of them are new. */
  async #attempt(
    connection: Connection,
    batch: readonly WaitingDraft[],
  ): Promise<{ readonly records: ReadonlyMap<string, StoredLine>; readonly fresh: ReadonlySet<string> }> {
    await connection.requireClock()
    const unique = [...new Map(batch.map((waiting) => [waiting.id, waiting])).values()]
    let head = this.#head
    let found = new Map<string, StoredLine>()
    if (!head) {
      const looked = await lookFor(
        connection,
        this.#of,
        unique.map(({ id }) => id),
      )
      head = looked.head
      found = looked.stored
    }
    const fresh = unique.filter(({ id }) => !found.has(id))
    // until the commit has come back, the head is not known
    this.#head = undefined
    if (fresh.length === 0) await barrier(connection)
    else {
      const began = performance.now()
      const own = new Date().toISOString()
      const receivedAt = [own, head.receivedAt].sort()[1] as string
      const added = await insertBehind(connection, this.#of, head, fresh, receivedAt)
      this.#shared.observer?.synced('append', performance.now() - began)
      this.#shared.observer?.batch(added.length)
      for (const record of added) found.set(record.id, record)
      const last = added.at(-1) as StoredLine
      head = { count: last.sequence, sha256: last.sha256, receivedAt }
    }
    await confirm(this.#shared, connection)
    this.#head = head
    return { records: found, fresh: new Set(fresh.map(({ id }) => id)) }
  }

  #note(error: unknown, fault: Fault, reason: string): void {
    const { addon, association_slug } = this.#of
    const fields = { addon, association: association_slug, code: codeOf(error), reason }
    const { log } = this.#shared
    if (fault !== 'damaged') log.error(fields, 'records could not be stored')
    else if (!this.#damaged) log.fatal(fields, 'the records of an association are refused')
    this.#damaged = fault === 'damaged'
  }
}

type Result = { readonly records: ReadonlyMap<string, StoredLine>; readonly fresh: ReadonlySet<string> }

/** Gives the receipts. Of several requests with the same new record, the first one gets `appended`. */
function giveReceipts(batch: readonly WaitingDraft[], { records, fresh }: Result): void {
  const appended = new Set<string>()
  for (const { id, answer } of batch) {
    const isFirst = fresh.has(id) && !appended.has(id)
    appended.add(id)
    answer.give({
      ok: true,
      receipt: receiptOf(records.get(id) as StoredLine, isFirst ? 'appended' : 'duplicate'),
    })
  }
}

function receiptOf(record: StoredLine, outcome: Receipt['outcome']): Receipt {
  const { id, sequence, received_at, previous_sha256, sha256 } = record
  return { outcome, received_at, id, sequence, record_sha256: sha256, previous_sha256 }
}
