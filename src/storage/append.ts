/**
 * Append-only: one JSON array per association, one record a line, and no line in it ever changes.
 *
 * Invariants
 *   1. Record n is the same bytes for ever once a receipt for it has been sent.
 *   2. At rest the file is a whole array that ends in `\n]\n`; bytes before that tail are never written again.
 *   3. A receipt leaves only when the bytes, the size and every new directory entry are on disk.
 *   4. The chain is unbroken, and the same envelope is in it once, however often and wherever it is sent.
 *   5. The cost of an append does not depend on how many records there are.
 *
 * Life of a record
 *   1. `put` computes its id and its line up to the receipt, and queues it.
 *   2. The first to come takes the lock and opens the file; the lock stays for a while, others share it.
 *   3. All that waits becomes one batch: envelopes that are stored already are answered with their first receipt, the
 *      rest is chained and written with one write over the closing bracket, then fdatasync.
 *   4. The head file is written, the receipts leave.
 *
 * Killed at any point, this is what is left
 *   before the write     the old array, and a lock that is free after `staleMs`
 *   during the write     the old records, whole, and a torn tail that the next opening cuts and keeps beside the file
 *   after the fdatasync  the new array; the sender has no receipt, sends again, and is given this record's
 *
 * Not promised: order between two senders; a whole array to a reader that ignores the snapshot rule while an append lands.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { AcceptedRecord, Fault, Outcome, Receipt } from '../../contracts/record.ts'
import type { Log } from '../log.ts'
import { AssociationFile } from './association-file.ts'
import { type Draft, draftOf, type Written } from './batch.ts'
import { forgetDirectories, makeDirectories } from './durable-file.ts'
import { codeOf, faultOf, hasCode, StorageFault } from './fault.ts'
import { acquire, type Lock } from './lock.ts'
import type { StorageObserver } from './observer.ts'
import { lockName, recordsName } from './paths.ts'

const mostRecords = 64
const mostBytes = 1024 * 1024
/** Below what recovery takes for a torn write; only a raised MAX_BODY_BYTES comes near. */
const longestRecord = 7.5 * 1024 * 1024
/** After this a lock is given up as soon as another process wants it: without work at once, busy for `pauseMs`. */
const idleMs = 50
const holdMs = 100
const pauseMs = 5
/** What nobody is seen to want is kept for longer: making and removing a lock costs more than an append. */
const longestIdleMs = 250
const longestHoldMs = 1_000

type Waiting = Draft & { readonly deadline: number; readonly answer: (outcome: Outcome) => void }

type Holding = { readonly lock: Lock; readonly since: number }

export class AppendLog {
  readonly #directories: readonly string[]
  readonly #directory: string
  readonly #log: Log
  readonly #observer: StorageObserver | undefined
  readonly #file: AssociationFile
  #queue: Waiting[] = []
  #working: Promise<void> | undefined
  #holding: Holding | undefined
  #idle: NodeJS.Timeout | undefined
  #damaged = false

  /** `directories`: those that have to be there, outermost first; the last one is the association's. */
  constructor(directories: readonly [string, string], log: Log, observer?: StorageObserver) {
    this.#directories = directories
    this.#directory = directories[1]
    this.#log = log
    this.#observer = observer
    this.#file = new AssociationFile(this.#directory, log, observer)
  }

  /** Records known by id, for deciding what to keep in memory. */
  get count(): number {
    return this.#file.count
  }

  get isIdle(): boolean {
    return this.#working === undefined && this.#holding === undefined
  }

  /** Files are open; they stay so between two holdings of the lock. */
  get isOpen(): boolean {
    return this.#file.isOpen
  }

  /** The records file was refused when it was last looked at. */
  get isDamaged(): boolean {
    return this.#damaged
  }

  put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const draft = draftOf(record)
    if (draft.opening.length > longestRecord) return Promise.resolve({ ok: false, fault: 'long' })
    return new Promise((answer) => {
      this.#queue.push({ id: draft.id, opening: draft.opening, deadline, answer })
      if (!this.#working) this.#run(() => this.#work())
    })
  }

  /** Opens, verifies and mends the file without storing anything. For the start-up. */
  async look(deadline: number): Promise<void> {
    while (this.#working) await this.#working
    await this.#run(async () => {
      try {
        await this.#hold(deadline)
      } catch (error) {
        this.#note(error)
      }
      await this.#release()
      await this.#file.close()
    })
  }

  /** Ends what is under way, gives the lock back and closes the files. What is known of the file stays in memory. */
  async close(): Promise<void> {
    while (this.#working) await this.#working
    await this.#run(async () => {
      await this.#rest()
      await this.#file.close()
    })
  }

  async #rest(): Promise<void> {
    await this.#release()
    await this.#file.keepIndex()
  }

  /** One job at a time has the file. When it ends, work that has come goes on; else the lock is kept for a while. */
  #run(job: () => Promise<void>): Promise<void> {
    clearTimeout(this.#idle)
    this.#working = job().finally(() => {
      this.#working = undefined
      if (this.#queue.length > 0) this.#run(() => this.#work())
      else if (this.#holding) this.#idleFor(this.#holding.lock, 0)
    })
    return this.#working
  }

  #idleFor(lock: Lock, ms: number): void {
    this.#idle = setTimeout(() => {
      if (ms + idleMs < longestIdleMs && lock.held() && !lock.wanted()) this.#idleFor(lock, ms + idleMs)
      else this.#run(() => this.#rest())
    }, idleMs)
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0) {
      try {
        const { lock, since } = await this.#hold((this.#queue[0] as Waiting).deadline)
        // one turn of the event loop: what has arrived with the same packets joins this batch
        await nextTurn()
        if (!(await this.#store(this.#take(), lock))) {
          await this.#release()
          continue
        }
        const heldMs = performance.now() - since
        if (heldMs < holdMs || (heldMs < longestHoldMs && !lock.wanted())) continue
        await this.#release()
        await sleep(pauseMs)
      } catch (error) {
        await this.#fail(error)
      }
    }
  }

  /** The lock and the open, verified file: those that were had last, or new ones. `#store` sees whether they are still good. */
  async #hold(deadline: number): Promise<Holding> {
    if (this.#holding) return this.#holding
    await makeDirectories(this.#directories)
    if (!this.#file.isKnown) await this.#file.preload()
    const asked = performance.now()
    const lock = await acquire(join(this.#directory, recordsName), join(this.#directory, lockName), deadline)
    this.#observer?.lockWait(performance.now() - asked)
    if (!lock) throw new StorageFault('busy', 'the lock was not had in time')
    try {
      await this.#file.open(lock.held)
    } catch (error) {
      await lock.release()
      // lost while the file was read: once more, as far as the deadline allows
      if (faultOf(error) === 'busy') return this.#hold(deadline)
      throw error
    }
    this.#damaged = false
    this.#holding = { lock, since: performance.now() }
    return this.#holding
  }

  async #release(): Promise<void> {
    const holding = this.#holding
    if (!holding) return
    this.#holding = undefined
    try {
      await holding.lock.release()
    } catch (error) {
      // it is not renewed any more, so it is free when it is stale
      this.#log.warn({ code: codeOf(error) }, 'a lock could not be removed')
    }
  }

  /** The next batch, as far as its senders are still waiting. */
  #take(): Waiting[] {
    const now = performance.now()
    const batch: Waiting[] = []
    let bytes = 0
    let taken = 0
    for (const waiting of this.#queue) {
      if (batch.length === mostRecords || (bytes > 0 && bytes + waiting.opening.length > mostBytes)) break
      taken++
      if (waiting.deadline < now) {
        waiting.answer({ ok: false, fault: 'busy' })
        continue
      }
      batch.push(waiting)
      bytes += waiting.opening.length
    }
    this.#queue.splice(0, taken)
    return batch
  }

  /** False when the lock was lost or the file is not as it was left: nothing was answered, and all of it waits again. */
  async #store(batch: readonly Waiting[], lock: Lock): Promise<boolean> {
    try {
      const stored = new Map<string, Written>()
      const fresh = new Map<string, Waiting>()
      for (const waiting of batch) {
        const found = stored.get(waiting.id) ?? (await this.#file.find(waiting.id))
        if (found) stored.set(waiting.id, found)
        else if (!fresh.has(waiting.id)) fresh.set(waiting.id, waiting)
      }
      const written = await this.#write([...fresh.values()], lock)
      if (!written) {
        this.#queue.unshift(...batch)
        return false
      }
      for (const record of written) stored.set(record.id, record)
      for (const waiting of batch) {
        const isFirst = fresh.get(waiting.id) === waiting
        waiting.answer({
          ok: true,
          receipt: receiptOf(stored.get(waiting.id) as Written, isFirst ? 'appended' : 'duplicate'),
        })
      }
      return true
    } catch (error) {
      this.#queue.unshift(...batch)
      throw error
    }
  }

  async #write(fresh: readonly Draft[], lock: Lock): Promise<readonly Written[] | undefined> {
    if (fresh.length > 0) return this.#file.append(fresh, new Date().toISOString(), lock.held)
    if (!lock.held() || !this.#file.isAsLeft()) return undefined
    await this.#file.settle()
    return []
  }

  /** Whatever went wrong concerns the file, so all who wait for it are told; of a busy lock, those whose time is up. */
  async #fail(error: unknown): Promise<void> {
    // what comes next opens the file anew
    await this.#file.close().catch(() => {})
    await this.#release()
    if (hasCode(error, 'ENOENT')) forgetDirectories(this.#directories)
    const fault = this.#note(error)
    const now = performance.now()
    const told =
      fault === 'busy'
        ? this.#queue.filter(({ deadline }, index) => index === 0 || deadline < now)
        : this.#queue
    this.#queue = this.#queue.filter((waiting) => !told.includes(waiting))
    for (const { answer } of told) answer({ ok: false, fault })
  }

  /** The fault behind an error, remembered and logged where a person has to look at it. */
  #note(error: unknown): Fault {
    const fault = faultOf(error)
    if (fault === 'damaged' && !this.#damaged) {
      this.#damaged = true
      this.#log.fatal(
        { reason: (error as Error).message },
        'a records file is damaged and is left alone; its association is refused',
      )
    } else if (fault === 'io') {
      this.#log.error({ code: codeOf(error) }, 'the disk reported an error')
    }
    return fault
  }
}

function receiptOf(written: Written, outcome: Receipt['outcome']): Receipt {
  const { id, sequence, received_at, previous_sha256, sha256 } = written
  return { outcome, received_at, id, sequence, record_sha256: sha256, previous_sha256 }
}
