/**
 * Append-only: one JSON array per association, one record a line, and no line in it ever changes.
 *
 * Invariants
 *   1. Record n is the same bytes for ever once a receipt for it has been sent.
 *   2. At rest the file is a whole array that ends in `\n]\n`; bytes before this closing are never written again.
 *   3. A receipt leaves only when the bytes, the size and every new directory entry are on disk.
 *   4. The chain is unbroken. An envelope is in the chain once, however often and to whichever receiver it is sent.
 *   5. The cost of an append does not depend on how many records there are.
 *
 * Life of a record
 *   1. `put` computes its id and its line up to the receipt, and queues it.
 *   2. The first record acquires the lock and opens the file. The lock is kept for a while, so that later records share it.
 *   3. All waiting records become one batch. An envelope that is stored already gets its first receipt. The others are chained,
 *      written with one write over the closing bracket, and synced with one fdatasync.
 *   4. The head file is written, the receipts leave.
 *
 * Killed at any point, this is what is left
 *   before the write     the old array, and a lock that is free after `staleMs`
 *   during the write     the old records, whole, and a torn tail that the next opening cuts and keeps beside the file
 *   after the fdatasync  the new array; the sender has no receipt, sends again, and gets the receipt of this record
 *
 * Not promised: order between two senders; a whole array to a reader that ignores the snapshot rule while an append lands.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { AcceptedRecord, Fault, Outcome, Receipt } from '../../../contracts/record.ts'
import { hasCode } from '../../error-code.ts'
import type { Log } from '../../log.ts'
import { batchOf, type Draft, draftOf, type Written } from '../../records/batch.ts'
import { longestRecord } from '../../records/lines.ts'
import type { StorageObserver } from '../observer.ts'
import { AssociationFile } from './association-file.ts'
import { forgetDirectories, removeEmptyDirectories } from './durable-file.ts'
import { codeOf, faultOf, troubleOf } from './fault.ts'
import type { Lock } from './lock.ts'
import { isRefused, keepRefusal, removeRefusal } from './refusal.ts'
import { Tenure } from './tenure.ts'
import { takeBatch, type WaitingRecord, withoutLate } from './waiting.ts'

/** A lock without work is released after this time. A lock with work is released after `holdMs`, for `pauseMs`. */
const idleMs = 50
const holdMs = 100
const pauseMs = 5
/** While batch follows batch and no other process asks for the lock, these longer times hold instead. */
const longestIdleMs = 250
const longestHoldMs = 1_000
/** While a file is being read, so often it is estimated anew when that ends. */
const watchMs = 250

export class AppendLog {
  readonly #directories: readonly [string, string]
  readonly #log: Log
  readonly #file: AssociationFile
  readonly #tenure: Tenure
  #queue: WaitingRecord[] = []
  #working: Promise<void> | undefined
  #idle: NodeJS.Timeout | undefined
  /** Runs while records wait for the file to be read. */
  #watch: NodeJS.Timeout | undefined
  /** More than one batch has come since the lock was acquired, so another one is likely. */
  #isBusy = false
  #isDamaged = false
  /** A refusal of an earlier start may lie beside the file. */
  #mayBeRefused = true

  /** `directories`: the directory of the addon and the directory of the association. */
  constructor(directories: readonly [string, string], log: Log, observer?: StorageObserver) {
    this.#directories = directories
    this.#log = log
    this.#file = new AssociationFile(directories[1], log, observer)
    this.#tenure = new Tenure(directories, this.#file, log, observer)
  }

  /** How many ids this log keeps in memory. */
  get count(): number {
    return this.#file.count
  }

  get isIdle(): boolean {
    return this.#working === undefined && this.#tenure.held === undefined
  }

  /** The records file was refused when it was last opened. */
  get isDamaged(): boolean {
    return this.#isDamaged
  }

  get isLockMissing(): boolean {
    return this.#tenure.isLockMissing
  }

  put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const draft = draftOf(record)
    if (draft.opening.length > longestRecord) return Promise.resolve({ ok: false, fault: 'long' })
    // the file is still being read, and that will take longer than the record may wait
    const leftMs = this.#file.readingLeftMs
    if (leftMs > 0 && leftMs > deadline - performance.now())
      return Promise.resolve({ ok: false, fault: 'reading' })
    return new Promise((answer) => {
      this.#queue.push({ id: draft.id, opening: draft.opening, deadline, answer })
      if (!this.#working) this.#run(() => this.#work())
      this.#watchReading()
    })
  }

  /** Opens, verifies and repairs the file without storing anything. Called at the start. */
  async recover(deadline: number): Promise<void> {
    while (this.#working) await this.#working
    await this.#run(async () => {
      try {
        await this.#acquire(deadline)
      } catch (error) {
        await this.#note(error)
      }
      await this.#tenure.release()
      await this.#file.close()
    })
  }

  /** Reads the file if this process does not know it yet, so that no sender waits for the reading. Called at the start. */
  async preload(): Promise<void> {
    while (this.#working) await this.#working
    await this.#run(async () => {
      if (!this.#file.isKnown) await this.#file.preload()
    })
  }

  /** Ends the work under way, releases the lock and closes the files. What this process remembers of them stays in memory. */
  async close(): Promise<void> {
    while (this.#working) await this.#working
    await this.#run(async () => {
      await this.#tenure.end()
      await this.#file.close()
    })
  }

  /** Runs one job at a time. After it, waiting records are stored; when there are none, the lock is kept for a while. */
  #run(job: () => Promise<void>): Promise<void> {
    clearTimeout(this.#idle)
    this.#working = job().finally(() => {
      this.#working = undefined
      if (this.#queue.length > 0) this.#run(() => this.#work())
      else if (this.#tenure.held) this.#idleFor(this.#tenure.held.lock, 0)
    })
    return this.#working
  }

  #idleFor(lock: Lock, ms: number): void {
    this.#idle = setTimeout(() => {
      const mayStay = this.#isBusy && ms + idleMs < longestIdleMs
      if (mayStay && lock.held() && !lock.wanted()) this.#idleFor(lock, ms + idleMs)
      else this.#run(() => this.#tenure.release())
    }, idleMs)
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      try {
        this.#isBusy = this.#tenure.held !== undefined
        const { lock, since } = await this.#acquire((this.#queue[0] as WaitingRecord).deadline)
        // One turn of the event loop lets records that have arrived already join this batch. The first record after a rest does
        // not wait, because on most nodes no second one is near.
        if (this.#isBusy) await nextTurn()
        if (!(await this.#store(takeBatch(this.#queue), lock))) {
          await this.#tenure.release()
          continue
        }
        const heldMs = performance.now() - since
        if (heldMs < holdMs || (heldMs < longestHoldMs && !lock.wanted())) continue
        await this.#tenure.release()
        await sleep(pauseMs)
      } catch (error) {
        await this.#fail(error)
      }
    }
  }

  /** Acquires the lock and the open, verified file. `#store` checks that both are still good. */
  async #acquire(deadline: number): ReturnType<Tenure['acquire']> {
    const held = await this.#tenure.acquire(deadline)
    if (this.#isDamaged || this.#mayBeRefused) this.#liftRefusal()
    return held
  }

  /** Called when the file was found whole. */
  #liftRefusal(): void {
    this.#isDamaged = false
    this.#mayBeRefused = false
    if (!isRefused(this.#directories[1])) return
    removeRefusal(this.#directories[1])
    this.#log.info({}, 'a records file that was refused is whole again; its association is served')
  }

  /** While the file is being read, a record that cannot be stored in time is answered as soon as that is known. */
  #watchReading(): void {
    if (this.#watch || this.#file.isKnown || this.#queue.length === 0) return
    this.#watch = setTimeout(() => {
      this.#watch = undefined
      const leftMs = this.#file.readingLeftMs
      if (leftMs > 0) this.#queue = withoutLate(this.#queue, performance.now() + leftMs)
      this.#watchReading()
    }, watchMs).unref()
  }

  /** False when the lock was lost or the file was changed by somebody else: nobody was answered, and the batch is queued again. */
  async #store(batch: readonly WaitingRecord[], lock: Lock): Promise<boolean> {
    try {
      const stored = new Map<string, Written>()
      const fresh = new Map<string, WaitingRecord>()
      for (const waiting of batch) {
        const found = stored.get(waiting.id) ?? (await this.#file.find(waiting.id))
        if (found) stored.set(waiting.id, found)
        else if (!fresh.has(waiting.id)) fresh.set(waiting.id, waiting)
      }
      const receivedAt = new Date().toISOString()
      const written = await this.#write([...fresh.values()], receivedAt, lock)
      if (!written) {
        for (const waiting of fresh.values()) waiting.writtenAt = receivedAt
        this.#queue.unshift(...batch)
        return false
      }
      for (const record of written) stored.set(record.id, record)
      for (const waiting of batch) {
        const record = stored.get(waiting.id) as Written
        const isOwn = fresh.get(waiting.id) === waiting || record.received_at === waiting.writtenAt
        waiting.answer({ ok: true, receipt: receiptOf(record, isOwn ? 'appended' : 'duplicate') })
      }
      return true
    } catch (error) {
      this.#queue.unshift(...batch)
      throw error
    }
  }

  async #write(
    fresh: readonly Draft[],
    receivedAt: string,
    lock: Lock,
  ): Promise<readonly Written[] | undefined> {
    if (fresh.length > 0) return this.#file.append(batchOf(fresh, receivedAt), lock.held)
    if (!lock.held() || !this.#file.isUnchanged()) return undefined
    await this.#file.syncInherited()
    return []
  }

  /** Answers the waiting records: all of them, or after a busy lock only the first and those whose deadline has passed. */
  async #fail(error: unknown): Promise<void> {
    // the next batch opens the file anew
    await this.#file.close().catch(() => {})
    await this.#tenure.release()
    if (hasCode(error, 'ENOENT')) forgetDirectories(this.#directories)
    const fault = await this.#note(error)
    if (this.#file.count === 0 && (fault === 'full' || fault === 'io' || fault === 'files'))
      removeEmptyDirectories(this.#directories)
    const now = performance.now()
    const told =
      fault === 'busy'
        ? this.#queue.filter(({ deadline }, index) => index === 0 || deadline < now)
        : this.#queue
    this.#queue = this.#queue.filter((waiting) => !told.includes(waiting))
    for (const { answer } of told) answer({ ok: false, fault })
  }

  /** Gives the fault behind an error, and logs a fault that a person has to look at. */
  async #note(error: unknown): Promise<Fault> {
    const fault = faultOf(error)
    if (fault === 'damaged' && !this.#isDamaged) {
      this.#isDamaged = true
      const reason = (error as Error).message
      this.#log.fatal({ reason }, 'a records file is damaged and is left alone; its association is refused')
      await this.#keepRefusal(reason)
      return fault
    }
    const trouble = troubleOf(fault)
    if (trouble) this.#log.error({ code: codeOf(error) }, trouble)
    return fault
  }

  async #keepRefusal(reason: string): Promise<void> {
    this.#mayBeRefused = true
    try {
      await keepRefusal(this.#directories[1], reason, this.#file.witness)
    } catch (error) {
      this.#log.error(
        { code: codeOf(error) },
        'the refusal could not be kept; a restart looks at the file anew',
      )
    }
  }
}

function receiptOf(written: Written, outcome: Receipt['outcome']): Receipt {
  const { id, sequence, received_at, previous_sha256, sha256 } = written
  return { outcome, received_at, id, sequence, record_sha256: sha256, previous_sha256 }
}
