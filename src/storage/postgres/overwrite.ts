/**
 * Overwrite by Placekey: one row per participant of an association, which holds the last envelope received, whole.
 *
 * Invariants
 *   1. A receipt leaves only when the commit came back without a warning.
 *   2. Of two envelopes for one Placekey that this process receives, the last one stays.
 *   3. A statement that was held up never replaces a newer form: the engine refuses it once its sender has been answered.
 *      When a connection breaks, the statement on it may still take effect until then. So nothing else is sent before the
 *      statement's process is seen to have ended, or its time is up. Requests that a process reads right after it was
 *      stopped for a while are refused (`stopped.ts`).
 *
 * There is one batch at a time, over all associations, so records are stored in the order of their arrival.
 *
 * Not promised: that no trace of earlier states is left. The old record is in the file of the table until the table is
 * vacuumed, and in the write-ahead log, in its archive and in base backups as long as these are kept (deploy/SCALE.md).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcceptedRecord, Fault, Outcome } from '../../../contracts/record.ts'
import { latestText } from '../../records/latest.ts'
import { longestRecord } from '../../records/lines.ts'
import { Answer } from './answers.ts'
import { Batches, type Waiting } from './batches.ts'
import type { Connection } from './connection.ts'
import { isGone } from './connections.ts'
import { Broken, codeOf, meaningOf } from './fault.ts'
import { confirm, type Shared } from './shared.ts'
import { keyOf, type Latest, replaceAll } from './statements.ts'

const brokenPauseMs = 100

/** All requests have the same key, so there is one batch at a time. */
const oneAfterTheOther = ''

/** `bytes` is the text to store. */
type WaitingReplacement = Waiting & { readonly record: AcceptedRecord; readonly receivedAt: string }

/** A statement on a broken connection. If it takes effect, it does so before `until`. */
type Loose = { readonly connection: Connection; readonly until: number }

export class Overwrites {
  readonly #shared: Shared
  readonly #batches = new Batches<WaitingReplacement>((batch) => this.#store(batch))
  #loose: Loose | undefined

  constructor(shared: Shared) {
    this.#shared = shared
  }

  put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const receivedAt = new Date().toISOString()
    const bytes = Buffer.from(latestText(record, receivedAt))
    if (bytes.length > longestRecord) return Promise.resolve({ ok: false, fault: 'long' })
    const answer = new Answer(deadline)
    this.#batches.put({ key: oneAfterTheOther, record, receivedAt, bytes, answer })
    return answer.promise
  }

  async #store(batch: readonly WaitingReplacement[]): Promise<void> {
    for (let waiting = batch; waiting.length > 0; waiting = waiting.filter(({ answer }) => !answer.isGiven)) {
      const until = Math.min(...waiting.map(({ answer }) => answer.by))
      try {
        const { connections } = this.#shared
        const stored = await connections.with(until, (connection) =>
          this.#attempt(connection, waiting, until),
        )
        return giveReceipts(waiting, stored)
      } catch (error) {
        const meaning = meaningOf(error)
        if (meaning.kind === 'fault') {
          this.#fail(waiting, error, meaning.fault, meaning.reason)
          continue
        }
        this.#shared.observer?.again(meaning.kind)
        if (meaning.kind === 'broken') await sleep(brokenPauseMs)
      }
    }
  }

  #fail(waiting: readonly WaitingReplacement[], error: unknown, fault: Fault, reason: string): void {
    this.#shared.log.error({ code: codeOf(error), reason }, 'records could not be stored')
    for (const { answer } of waiting) answer.fail(fault)
  }

  /** Tries to store the batch once. Gives for each stored key whether it is new; a missing key came too late. */
  async #attempt(
    connection: Connection,
    batch: readonly WaitingReplacement[],
    until: number,
  ): Promise<ReadonlyMap<string, boolean>> {
    await this.#settleLoose(connection)
    await connection.requireClock()
    const deadline = connection.engineTime(until)
    if (performance.now() >= until) throw new Broken()
    const began = performance.now()
    try {
      const stored = await replaceAll(connection, lastOfEach(batch), deadline)
      this.#shared.observer?.synced('overwrite', performance.now() - began)
      await confirm(this.#shared, connection)
      return stored
    } catch (error) {
      if (meaningOf(error).kind === 'broken') this.#loose = { connection, until }
      throw error
    }
  }

  /** Waits until no statement of a broken connection can take effect any more (invariant 3). */
  async #settleLoose(connection: Connection): Promise<void> {
    if (
      !this.#loose ||
      performance.now() > this.#loose.until ||
      (await isGone(connection, this.#loose.connection))
    )
      this.#loose = undefined
    else throw new Broken()
  }
}

/**
 * The last record for each key, because two rows for one key in a statement are an error. Sorted, so that two receivers cannot
 * deadlock.
 */
function lastOfEach(batch: readonly WaitingReplacement[]): Latest[] {
  const last = new Map(batch.map(({ record, bytes }) => [keyOf(record), { record, bytes }]))
  return [...last]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([
        ,
        {
          record: { addon, association_slug, participant_id },
          bytes,
        },
      ]) => ({ addon, association_slug, participant_id, body: bytes }),
    )
}

/** Gives the receipts. Of several requests for one new key, the first one gets `created`. */
function giveReceipts(batch: readonly WaitingReplacement[], stored: ReadonlyMap<string, boolean>): void {
  const made = new Set<string>()
  for (const { record, receivedAt, answer } of batch) {
    const key = keyOf(record)
    const isNew = stored.get(key)
    if (isNew === undefined) {
      answer.fail('busy')
      continue
    }
    const outcome = isNew && !made.has(key) ? 'created' : 'replaced'
    made.add(key)
    answer.give({ ok: true, receipt: { outcome, received_at: receivedAt } })
  }
}
