/**
 * Holds the lock and the open files of one association, from the first batch until some time after the last one, because making
 * and removing a lock costs more than an append.
 */
import { join } from 'node:path'
import type { Log } from '../../log.ts'
import { lockName, recordsName } from '../../records/layout.ts'
import type { StorageObserver } from '../observer.ts'
import type { AssociationFile } from './association-file.ts'
import { inDirectories } from './durable-file.ts'
import { codeOf, faultOf, StorageFault } from './fault.ts'
import { acquire, type Lock } from './lock.ts'

/** After this time without the lock, the log and /ready say so. No work of this program holds a lock for that long. */
const lockMissingMs = 30_000

export type HeldLock = { readonly lock: Lock; readonly since: number }

export class Tenure {
  /** The directory of the addon and the directory of the association. */
  readonly #directories: readonly [string, string]
  readonly #recordsPath: string
  readonly #lockPath: string
  readonly #file: AssociationFile
  readonly #log: Log
  readonly #observer: StorageObserver | undefined
  readonly #missingMs: number
  #held: HeldLock | undefined
  /** Runs while this process waits for the lock. */
  #missing: NodeJS.Timeout | undefined
  #isMissing = false

  constructor(
    directories: readonly [string, string],
    file: AssociationFile,
    log: Log,
    observer: StorageObserver | undefined,
    missingMs = lockMissingMs,
  ) {
    this.#directories = directories
    this.#recordsPath = join(directories[1], recordsName)
    this.#lockPath = join(directories[1], lockName)
    this.#file = file
    this.#log = log
    this.#observer = observer
    this.#missingMs = missingMs
  }

  get held(): HeldLock | undefined {
    return this.#held
  }

  /** This process has tried for `lockMissingMs` to acquire the lock, without success. */
  get isLockMissing(): boolean {
    return this.#isMissing
  }

  /** Gives the lock that is held already, or acquires it and opens and verifies the file. Throws a `StorageFault`. */
  async acquire(deadline: number): Promise<HeldLock> {
    if (this.#held) return this.#held
    if (!this.#file.isKnown) await this.#file.preload()
    const lock = await this.#lock(deadline)
    try {
      await this.#file.open(lock.held)
    } catch (error) {
      await lock.release()
      // the lock was lost while the file was read: try once more, as far as the deadline allows
      if (faultOf(error) === 'busy') return this.acquire(deadline)
      throw error
    }
    this.#held = { lock, since: performance.now() }
    return this.#held
  }

  /** Releases the lock for the end of the process. */
  async end(): Promise<void> {
    await this.release()
    clearTimeout(this.#missing)
  }

  /** Releases the lock. The files stay open. */
  async release(): Promise<void> {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    try {
      await held.lock.release()
    } catch (error) {
      // the lock has no heartbeat any more, so it becomes stale and free
      this.#log.warn({ code: codeOf(error) }, 'a lock could not be removed')
    }
  }

  #lock(deadline: number): Promise<Lock> {
    return inDirectories(this.#directories, () => this.#lockIn(deadline))
  }

  async #lockIn(deadline: number): Promise<Lock> {
    const asked = performance.now()
    this.#noteWanted()
    const lock = await acquire(this.#recordsPath, this.#lockPath, deadline)
    this.#observer?.lockWait(performance.now() - asked)
    if (!lock) throw new StorageFault('busy', 'the lock was not had in time')
    this.#noteHad()
    return lock
  }

  #noteWanted(): void {
    this.#missing ??= setTimeout(() => void this.#lookForLock(), this.#missingMs).unref()
  }

  /** The waiting request may have ended, and the lock may be free by now. So the lock is tried once more before it is reported. */
  async #lookForLock(): Promise<void> {
    this.#missing = undefined
    const lock = await acquire(this.#recordsPath, this.#lockPath, performance.now()).catch(() => undefined)
    if (lock) {
      await lock.release()
      this.#noteHad()
      return
    }
    if (!this.#isMissing)
      this.#log.warn(
        { seconds: this.#missingMs / 1000 },
        'the lock on a records file cannot be had; its association stores nothing',
      )
    this.#isMissing = true
    this.#noteWanted()
  }

  #noteHad(): void {
    clearTimeout(this.#missing)
    this.#missing = undefined
    if (this.#isMissing) this.#log.info({}, 'the lock on a records file was had again')
    this.#isMissing = false
  }
}
