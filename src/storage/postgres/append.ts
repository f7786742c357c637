/**
 * Append-only: stores records in rows that no role may change, each association with its own chain.
 *
 * Invariants
 *   1. A receipt leaves only when the commit of its batch came back without a warning. Then the batch is on the standby, too.
 *   2. A duplicate is answered only when a commit that began after reading the record came back, because a record that was only read
 *      may be on one disk.
 *   3. The database compares and moves the heads. A head that this process remembers is a guess; a wrong guess costs one more turn.
 *   4. One record never fails the others of its batch, except where none can be stored.
 *
 * Life of a record
 *   1. `put` computes its id and its line up to the receipt, and queues it with a timer.
 *   2. Waiting records, of whatever associations, become one batch. If a head is not known, one statement reads all heads and finds
 *      the records of the batch that are stored already.
 *   3. The new records are chained behind their heads and inserted with one statement. If no record is new, an empty commit is made.
 *   4. If another writer was first, or the connection broke, the batch begins again at 2, as long as a sender waits. Reading shows whether
 *      the broken statement took effect.
 *   5. If others were first twice, 2 and 3 are one transaction, during which nobody else appends to these associations. Without it a
 *      receiver that writes without a pause would keep all others out.
 *   6. If an association is refused, or a turn was lost, too, the batch is split into two. In the end the association is alone, and all
 *      others are stored.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcceptedRecord, Fault, Outcome, Receipt } from '../../../contracts/record.ts'
import { type Draft, draftOf } from '../../records/batch.ts'
import { nameOf } from '../../records/layout.ts'
import { longestRecord } from '../../records/lines.ts'
import { Answer } from './answers.ts'
import { Batches, type Waiting } from './batches.ts'
import type { Connection } from './connection.ts'
import { codeOf, meaningOf } from './fault.ts'
import { Heads } from './heads.ts'
import { confirm, type Shared } from './shared.ts'
import {
  type AssociationName,
  barrier,
  beginInTurn,
  chainBehind,
  insertLines,
  lookFor,
  type NewLine,
  recordKeyOf,
  type StoredLine,
  type TableHead,
} from './statements.ts'

/** The pause before a batch is tried again on another connection. */
const brokenPauseMs = 100
/** The longest pause before a batch is tried behind other heads. The length is random, so that two receivers do not collide again. */
const longestLossPauseMs = 20
/** After so many losses a batch is stored in a turn of its own. */
const mostLosses = 2

/** `key` is the name of the association, `bytes` the line up to the receipt. */
type WaitingDraft = Waiting &
  Draft & {
    readonly of: AssociationName
    readonly recordKey: string
    /** The time of receipt in the last attempt. A record that stands there with this time is that one. */
    writtenAt?: string
  }

type Result = {
  /** All records of the batch, by `recordKey`. */
  readonly records: ReadonlyMap<string, StoredLine>
  readonly fresh: ReadonlySet<string>
}

type Written = {
  readonly added: readonly Chained[]
  readonly stored: Map<string, StoredLine>
  readonly began: number
}

const unanswered = (batch: readonly WaitingDraft[]): readonly WaitingDraft[] =>
  batch.filter(({ answer }) => !answer.isGiven)

export class Appends {
  /** Associations whose records are refused as damaged. */
  readonly refused = new Set<string>()
  readonly #shared: Shared
  readonly #heads = new Heads()
  readonly #batches = new Batches<WaitingDraft>((batch) => this.#store(batch))

  constructor(shared: Shared) {
    this.#shared = shared
  }

  put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const { id, opening } = draftOf(record)
    if (opening.length > longestRecord) return Promise.resolve({ ok: false, fault: 'long' })
    const { addon, association_slug } = record
    const of = { addon, association_slug }
    const key = nameOf(of)
    const answer = new Answer(deadline)
    this.#batches.put({ key, of, id, recordKey: recordKeyOf(key, id), opening, bytes: opening, answer })
    return answer.promise
  }

  /** Stores the batch; resolves when every record has an answer. */
  async #store(batch: readonly WaitingDraft[]): Promise<void> {
    let losses = 0
    for (let waiting = unanswered(batch); waiting.length > 0; waiting = unanswered(waiting)) {
      const inTurn = losses >= mostLosses
      try {
        return await this.#storeOnce(waiting, inTurn)
      } catch (error) {
        for (const { key } of waiting) this.#heads.forget(key)
        const meaning = meaningOf(error)
        const isAlone = waiting.every(({ key }) => key === waiting[0]?.key)
        if (meaning.kind === 'fault') {
          if (!isAlone && meaning.isOfOneAssociation)
            return this.#storeParts(waiting, meaning.fault === 'busy' ? waiting.length : 2)
          this.#refuse(waiting, error, meaning)
          continue
        }
        this.#shared.observer?.again(meaning.kind)
        if (meaning.kind === 'broken') await sleep(brokenPauseMs)
        else {
          if (meaning.byAnother) this.#heads.distrust()
          if (inTurn && !isAlone) return this.#storeParts(waiting, 2)
          if (losses++ === mostLosses) this.#tellOfLostTurn(waiting[0] as WaitingDraft)
          await sleep(Math.random() * Math.min(losses * 2, longestLossPauseMs))
        }
      }
    }
  }

  async #storeOnce(batch: readonly WaitingDraft[], inTurn: boolean): Promise<void> {
    const until = Math.max(...batch.map(({ answer }) => answer.by))
    const result = await this.#shared.connections.with(until, (connection) =>
      this.#attempt(connection, batch, inTurn),
    )
    for (const { key } of batch) this.refused.delete(key)
    giveReceipts(batch, result)
  }

  /**
   * Stores the batch in parts, none of which has an association of another. After waiting for a lock, each association is a part,
   * because there is no time to wait for the same lock more than once.
   */
  async #storeParts(batch: readonly WaitingDraft[], count: number): Promise<void> {
    const names = [...new Set(batch.map(({ key }) => key))]
    const size = Math.ceil(names.length / count)
    const parts = Array.from({ length: Math.ceil(names.length / size) }, (_, at) => {
      const own = new Set(names.slice(at * size, (at + 1) * size))
      return batch.filter(({ key }) => own.has(key))
    })
    await Promise.all(parts.map((part) => this.#store(part)))
  }

  /** Tries to store the batch once. */
  async #attempt(connection: Connection, batch: readonly WaitingDraft[], inTurn: boolean): Promise<Result> {
    await connection.requireClock()
    const unique = [...new Map(batch.map((waiting) => [waiting.recordKey, waiting])).values()]
    const write = () => this.#write(connection, unique)
    const { added, stored, began } = await (inTurn
      ? connection.inTransaction(beginInTurn(unique.map(({ key }) => key)), write)
      : write())
    this.#observe(added, began)
    await confirm(this.#shared, connection)
    const fresh = new Set<string>()
    for (const { key, head, records } of added) {
      this.#heads.set(key, head)
      for (const record of records) {
        const recordKey = recordKeyOf(key, record.id)
        fresh.add(recordKey)
        stored.set(recordKey, record)
      }
    }
    return { records: stored, fresh }
  }

  /** Inserts what is not stored yet. `stored` are the other records. */
  async #write(connection: Connection, batch: readonly WaitingDraft[]): Promise<Written> {
    const known = this.#heads.all(batch.map(({ key }) => key))
    const { heads, stored } = known ? { heads: known, stored: new Map() } : await lookFor(connection, batch)
    const fresh = batch.filter(({ recordKey }) => !stored.has(recordKey))
    // until the commit has come back, the heads are not known
    for (const { key } of fresh) this.#heads.forget(key)
    const added = chained(fresh, heads)
    const began = performance.now()
    if (fresh.length === 0) await barrier(connection)
    else
      await insertLines(
        connection,
        added.flatMap(({ lines }) => lines),
        added.map(({ key }) => key),
      )
    return { added, stored, began }
  }

  /** `began` is when the statement that was committed was sent. */
  #observe(added: readonly Chained[], began: number): void {
    const { observer } = this.#shared
    if (added.length === 0) return
    observer?.synced('append', performance.now() - began)
    observer?.batch(added.reduce((sum, { lines }) => sum + lines.length, 0))
  }

  /** In a turn no receiver appends, so this is either damage or another writer. */
  #tellOfLostTurn({ of }: WaitingDraft): void {
    const fields = { addon: of.addon, association: of.association_slug }
    this.#shared.log.error(
      fields,
      'the head of an association does not fit its records, or something else than a receiver appends to it',
    )
  }

  /** Answers all requests of the batch with a fault, and logs it. */
  #refuse(
    batch: readonly WaitingDraft[],
    error: unknown,
    { fault, reason }: { readonly fault: Fault; readonly reason: string },
  ): void {
    const { log } = this.#shared
    const names = [...new Set(batch.map(({ key }) => key))]
    const { addon, association_slug: association } = (batch[0] as WaitingDraft).of
    const which = names.length === 1 ? { addon, association } : { associations: names.length }
    const fields = { ...which, code: codeOf(error), reason }
    if (fault !== 'damaged') log.error(fields, 'records could not be stored')
    else if (!names.every((name) => this.refused.has(name)))
      log.fatal(fields, 'the records of an association are refused')
    for (const name of names) {
      if (fault === 'damaged') this.refused.add(name)
      else this.refused.delete(name)
    }
    for (const { answer } of batch) answer.fail(fault)
  }
}

/** The new records of one association: the rows to insert, their receipts, and the head when they are stored. */
type Chained = {
  readonly key: string
  readonly lines: readonly NewLine[]
  readonly records: readonly StoredLine[]
  readonly head: TableHead
}

/** In the order of the names, so that two receivers do not wait for each other in a circle. */
function chained(fresh: readonly WaitingDraft[], heads: ReadonlyMap<string, TableHead>): readonly Chained[] {
  const now = new Date().toISOString()
  const drafts = new Map<string, WaitingDraft[]>()
  for (const draft of fresh) drafts.set(draft.key, [...(drafts.get(draft.key) ?? []), draft])
  return [...drafts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, own]) => {
      const head = heads.get(key) as TableHead
      const receivedAt = [now, head.receivedAt].sort()[1] as string
      for (const draft of own) draft.writtenAt = receivedAt
      const { lines, records } = chainBehind((own[0] as WaitingDraft).of, head, own, receivedAt)
      const last = records.at(-1) as StoredLine
      return { key, lines, records, head: { count: last.sequence, sha256: last.sha256, receivedAt } }
    })
}

/** Gives the receipts. Of several requests with the same new record, the first one gets `appended`. */
function giveReceipts(batch: readonly WaitingDraft[], { records, fresh }: Result): void {
  const appended = new Set<string>()
  for (const { recordKey, answer, writtenAt } of batch) {
    const record = records.get(recordKey) as StoredLine
    const isOwn = fresh.has(recordKey) || record.received_at === writtenAt
    const outcome = isOwn && !appended.has(recordKey) ? 'appended' : 'duplicate'
    appended.add(recordKey)
    answer.give({ ok: true, receipt: receiptOf(record, outcome) })
  }
}

function receiptOf(record: StoredLine, outcome: Receipt['outcome']): Receipt {
  const { id, sequence, received_at, previous_sha256, sha256 } = record
  return { outcome, received_at, id, sequence, record_sha256: sha256, previous_sha256 }
}
