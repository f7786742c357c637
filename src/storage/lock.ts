/**
 * The lock on one records file, across processes: proper-lockfile's directory, with a fence around what it cannot see.
 *
 * Invariants
 *   1. `held()` is true only while the lock directory is the one this process made and its heartbeat is younger than
 *      half of the stale time. Nobody else may take it over before it is twice that old.
 *   2. A lock directory that somebody else made is never removed, neither by `release` nor at exit.
 *   3. After a take-over of a stale lock nothing is read or written for `settleMs`: another process that found the
 *      same stale lock has either given up by then or has replaced ours, and then we do not hold it.
 *
 * Not promised: a process that is stopped for more than the stale time between `held()` and the write that follows it
 * in the same turn (microseconds) writes without the lock when it wakes. Node has no lock that the kernel would enforce.
 */
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import lockfile from 'proper-lockfile'
import { hasCode } from './fault.ts'

/** A lock left by a kill is free after this; well below the 10 s in which every request is answered. */
export const staleMs = 5_000
const heartbeatMs = 1_000
const settleMs = 250

export type Lock = {
  /** Asked right before every write, without a turn of the event loop in between. */
  held(): boolean
  /** Removes the lock if it is still ours; otherwise leaves it to whoever has it. */
  release(): Promise<void>
}

/** Which directory it is: an inode number is used again at once, its time of birth is not. */
type Identity = { readonly ino: bigint; readonly birth: bigint }

const made = new Map<string, Identity>()
/** Stands for a lock that was lost: no directory matches it, so none is removed. */
const lostOne: Identity = { ino: -1n, birth: -1n }
const takenOver = new Set<string>()

function statOf(path: string): fs.BigIntStats | undefined {
  return fs.statSync(path, { bigint: true, throwIfNoEntry: false })
}

function isOurs(path: string): fs.BigIntStats | undefined {
  const ours = made.get(path)
  const found = ours && statOf(path)
  return found && found.ino === ours.ino && found.birthtimeNs === ours.birth ? found : undefined
}

function isStale(found: fs.BigIntStats): boolean {
  return Number(found.mtimeMs) < Date.now() - staleMs
}

/**
 * What proper-lockfile does to the disk. It removes a lock directory in two cases: to release one, also one that it
 * lost without noticing, and to take over a stale one, also one that has been replaced since it looked.
 */
const guarded = {
  mkdir: fs.mkdir,
  // of a directory that was made or looked for a moment ago: cheaper than a turn of the thread pool
  stat(path: string, done: (error: unknown, found?: fs.Stats) => void): void {
    try {
      done(null, fs.statSync(path))
    } catch (error) {
      done(error)
    }
  },
  utimes: fs.utimes,
  rmdir(path: string, done: (error?: Error | null) => void): void {
    try {
      if (made.has(path)) {
        if (isOurs(path)) fs.rmdirSync(path)
      } else {
        takenOver.add(path)
        const found = statOf(path)
        if (found && isStale(found)) fs.rmdirSync(path)
      }
      done()
    } catch (error) {
      done(error as Error)
    }
  },
  rmdirSync(path: string): void {
    if (isOurs(path)) fs.rmdirSync(path)
  },
}

async function tryOnce(file: string, path: string): Promise<Lock | undefined> {
  let lost = false
  takenOver.delete(path)
  let release: () => Promise<void>
  try {
    release = await lockfile.lock(file, {
      lockfilePath: path,
      realpath: false,
      stale: staleMs,
      update: heartbeatMs,
      fs: guarded,
      onCompromised: () => {
        lost = true
      },
    })
  } catch (error) {
    if (hasCode(error, 'ELOCKED')) return undefined
    throw error
  }
  const found = statOf(path)
  if (!found) return undefined
  made.set(path, { ino: found.ino, birth: found.birthtimeNs })
  const lock: Lock = {
    held() {
      const now = !lost && isOurs(path)
      return now ? Date.now() - Number(now.mtimeMs) < staleMs / 2 : false
    },
    async release() {
      if (!lock.held()) made.set(path, lostOne)
      // also ends the heartbeat, which would keep a lock that we gave up from ever becoming stale
      await release().catch(ignoreReleased)
      made.delete(path)
    },
  }
  if (takenOver.has(path)) await sleep(settleMs)
  if (lock.held()) return lock
  await lock.release()
  return undefined
}

function ignoreReleased(error: unknown): void {
  if (!hasCode(error, 'ERELEASED') && !hasCode(error, 'ENOTACQUIRED')) throw error
}

/** Waits for the lock until `deadline` (on the clock of `performance.now()`); undefined when it was not had. */
export async function acquire(file: string, path: string, deadline: number): Promise<Lock | undefined> {
  for (let wait = 1; ; wait = Math.min(wait * 2, 8)) {
    const lock = await tryOnce(file, path)
    if (lock) return lock
    if (performance.now() + wait > deadline) return undefined
    await sleep(wait + Math.random() * wait)
  }
}
