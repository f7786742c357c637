/**
 * The lock on one records file, across processes: the lock directory of proper-lockfile, with guards where the library is wrong.
 *
 * proper-lockfile makes the lock directory, which fails when there is one; it renews the time of the directory every second, and
 * calls `onCompromised` when another process has renewed it; it removes the directory at the release and when the process exits.
 * The guards below replace two things:
 *   - Staleness. The library compares the time of the directory with the clock of the machine. If that clock is set back, the lock
 *     of a dead process lasts so much longer. Here a lock is stale when this process has watched it for `staleMs` on the monotonic
 *     clock and has seen no change.
 *   - Removal. The library removes any directory at the path, also the lock of the next holder after a take-over. Here only the
 *     directory that this process made is removed, or a stale one that is still the one that was watched.
 *
 * Invariants
 *   1. `held()` is true only while the lock directory is the one that this process made and its last heartbeat began less than
 *      half of `staleMs` ago. No other process takes the lock over before the whole of `staleMs` has passed without a heartbeat.
 *   2. A lock directory that another process made is never removed, neither by `release` nor at exit.
 *   3. After a take-over of a stale lock nothing is read or written for `settleMs`. A second process that found the same stale
 *      lock has given up by then, or it has replaced our lock, and then `held()` is false.
 *
 * Not promised: a process that is stopped for more than the stale time between `held()` and the write that follows it
 * in the same turn (microseconds) writes without the lock when it wakes. Node has no lock that the kernel would enforce.
 */

import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import lockfile from 'proper-lockfile'
import { hasCode } from '../../error-code.ts'
import { asideName } from './paths.ts'

/** The lock of a killed process is free after this time, which is well below the 10 s in which every request is answered. */
export const staleMs = 5_000
const heartbeatMs = 1_000
const settleMs = 250

export type Lock = {
  /** Called right before every write, without a turn of the event loop in between. */
  held(): boolean
  /** Whether the last `held()` saw that another process waits for the lock (in `acquire`). */
  wanted(): boolean
  /** Removes the lock if this process still holds it; otherwise leaves the lock to its holder. */
  release(): Promise<void>
}

/**
 * Identifies the directory that this process made. An inode number may be used again at once, so the time of birth counts too.
 * Not every file system keeps the time of birth (ext4 with inodes of 128 bytes), so the time of the last heartbeat counts as well.
 */
type Own = { readonly ino: bigint; readonly birth: bigint; beat: number; beatAt: number }

/** What this process knows of the lock at one path. */
type KnownLock = {
  /** This process holds the lock or tries to acquire it. There is only one attempt at a time. */
  isTaken: boolean
  /** When the attempt made the lock directory, on the clock of `performance.now()`. */
  madeAt: number | undefined
  /** How the directory looked right after the attempt had made it; undefined when the disk did not tell. */
  made: fs.BigIntStats | undefined
  /** The directory that this process made; undefined when it was lost or cannot be told from another one. */
  own: Own | undefined
  /** The attempt has removed a stale lock on its way. */
  hasTakenOver: boolean
  /** The lock directory of another process: how it looked when this process last saw a change, and when that was. */
  watched: { readonly stamp: string; readonly since: number } | undefined
}

const notTaken: Omit<KnownLock, 'watched'> = {
  isTaken: false,
  madeAt: undefined,
  made: undefined,
  own: undefined,
  hasTakenOver: false,
}

const locks = new Map<string, KnownLock>()

function knownOf(path: string): KnownLock {
  const found = locks.get(path)
  if (found) return found
  const known: KnownLock = { ...notTaken, watched: undefined }
  locks.set(path, known)
  return known
}

/** Undefined also when the disk reports an error, because a directory counts as ours only when that is certain. */
function statOf(path: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function ownAt(path: string): { own: Own; found: fs.BigIntStats } | undefined {
  const own = locks.get(path)?.own
  const found = own && statOf(path)
  if (!found || found.ino !== own.ino || found.birthtimeNs !== own.birth) return undefined
  return own.beat === beatOf(found) ? { own, found } : undefined
}

function beatOf(found: fs.BigIntStats): number {
  return Math.round(Number(found.mtimeNs) / 1e6)
}

/** A process that waits for the lock sets this mode bit on the lock directory, where the holder sees it. */
const wantedBit = 0o1000

function askFor(path: string): void {
  try {
    fs.chmodSync(path, 0o750 | wantedBit)
  } catch {
    // the lock was released a moment ago or belongs to another user; waiting goes on without the bit
  }
}

/** Changes with every heartbeat, which sets the time of the directory. The mode must not count: asking for the lock changes it. */
function stampOf({ dev, ino, birthtimeNs, mtimeNs }: fs.BigIntStats): string {
  return `${dev} ${ino} ${birthtimeNs} ${mtimeNs}`
}

/** Whether this lock of another process has not changed for `staleMs`. When it has changed, the time begins anew. */
function isStale(path: string, found: fs.BigIntStats): boolean {
  const known = knownOf(path)
  const stamp = stampOf(found)
  const now = performance.now()
  if (known.watched?.stamp !== stamp) known.watched = { stamp, since: now }
  return now - known.watched.since >= staleMs
}

/** Called at the start: the lock of a killed process is watched from then on, so that the first request waits less. */
export function watchLock(path: string): void {
  const found = locks.get(path)?.isTaken ? undefined : statOf(path)
  if (found) isStale(path, found)
}

/**
 * Another process may have replaced the stale lock a moment ago. So the directory is moved aside first and looked at there; if it
 * is not the stale one, it is moved back, and its holder still recognises it.
 */
function removeStale(path: string, stamp: string): void {
  const aside = asideName(path)
  fs.renameSync(path, aside)
  const moved = statOf(aside)
  if (!moved) return
  if (stampOf(moved) === stamp) fs.rmdirSync(aside)
  else fs.renameSync(aside, path)
}

const [longAgo, never] = [new Date(0), new Date(8.64e15)]

/**
 * The functions with which proper-lockfile reaches the disk. They are synchronous, because in the thread pool they would wait behind
 * the flushes of other associations, for longer than the change itself takes.
 */
const guarded = {
  mkdir(path: string, done: (error?: unknown) => void): void {
    const began = performance.now()
    try {
      fs.mkdirSync(path)
    } catch (error) {
      done(error)
      return
    }
    knownOf(path).madeAt = began
    done()
  },
  // synchronous: the directory is in memory, because it was made or looked for a moment ago
  stat(path: string, done: (error: unknown, found?: { mtime: Date }) => void): void {
    const known = knownOf(path)
    let mtime: Date
    try {
      if (known.madeAt !== undefined && !known.own) {
        // the library looks at the directory that it has just made; `tryOnce` keeps the result to recognise the directory
        known.made = statOf(path)
        mtime = new Date(known.made ? beatOf(known.made) : 0)
      } else {
        const found = fs.statSync(path, { bigint: true })
        // the library judges a lock of another process by its date, so it is given a date that says whether the lock is stale
        if (known.own) mtime = new Date(beatOf(found))
        else mtime = isStale(path, found) ? longAgo : never
      }
    } catch (error) {
      done(error)
      return
    }
    done(null, { mtime })
  },
  // synchronous: a heartbeat that waits in the thread pool can land after the release, on the next directory with this path
  utimes(path: string, atime: Date, mtime: Date, done: (error?: unknown) => void): void {
    const own = locks.get(path)?.own
    const began = performance.now()
    try {
      fs.utimesSync(path, atime, mtime)
    } catch (error) {
      done(error)
      return
    }
    if (own) {
      own.beat = mtime.getTime()
      own.beatAt = began
    }
    done()
  },
  rmdir(path: string, done: (error?: unknown) => void): void {
    try {
      const known = knownOf(path)
      if (known.madeAt !== undefined) {
        if (ownAt(path)) fs.rmdirSync(path)
      } else {
        known.hasTakenOver = true
        const found = statOf(path)
        if (found && isStale(path, found)) removeStale(path, stampOf(found))
      }
    } catch (error) {
      done(error)
      return
    }
    done()
  },
  rmdirSync(path: string): void {
    if (ownAt(path)) fs.rmdirSync(path)
  },
}

/** One attempt; undefined when somebody has the lock. */
async function tryOnce(file: string, path: string): Promise<Lock | undefined> {
  const known = knownOf(path)
  if (known.isTaken) return undefined
  known.isTaken = true
  let isLost = false
  let release: () => Promise<void>
  try {
    release = await lockfile.lock(file, {
      lockfilePath: path,
      realpath: false,
      stale: staleMs,
      update: heartbeatMs,
      fs: guarded,
      onCompromised: () => {
        isLost = true
      },
    })
  } catch (error) {
    giveUp(known)
    if (hasCode(error, 'ELOCKED')) return undefined
    locks.delete(path)
    throw error
  }
  const madeAt = known.madeAt as number
  const { made } = known
  // if this process was stopped in between, the directory that was looked at may be another process's
  if (made && performance.now() - madeAt < staleMs / 2) {
    known.own = { ino: made.ino, birth: made.birthtimeNs, beat: beatOf(made), beatAt: madeAt }
  }
  const lock = lockAt(path, known, release, () => isLost)
  if (known.hasTakenOver) await sleep(settleMs)
  // if there was no sleep, the directory was looked at in this same turn, so `held` need not look again
  if (known.own && (!known.hasTakenOver || lock.held())) return lock
  await lock.release()
  return undefined
}

function lockAt(path: string, known: KnownLock, release: () => Promise<void>, isLost: () => boolean): Lock {
  let isWanted = false
  const lock: Lock = {
    held() {
      const ours = isLost() ? undefined : ownAt(path)
      if (!ours) return false
      isWanted = (Number(ours.found.mode) & wantedBit) !== 0
      return isFresh(ours.own)
    },
    wanted: () => isWanted,
    async release() {
      // the library's release removes the directory in this same turn; the guard `rmdir` checks right before that it is ours
      if (isLost() || !isFresh(known.own)) known.own = undefined
      // also ends the heartbeat, which would keep the lock from becoming stale; a directory that cannot be removed becomes stale
      await release().catch(() => {})
      giveUp(known)
      if (locks.get(path) === known) locks.delete(path)
    },
  }
  return lock
}

function isFresh(own: Own | undefined): boolean {
  return own !== undefined && performance.now() - own.beatAt < staleMs / 2
}

/** Ends the attempt. `watched` stays, because the next attempt goes on from there. */
function giveUp(known: KnownLock): void {
  Object.assign(known, notTaken)
}

/** Waits for the lock until `deadline` (on the clock of `performance.now()`); undefined when the lock could not be acquired. */
export async function acquire(file: string, path: string, deadline: number): Promise<Lock | undefined> {
  for (let wait = 1; ; wait = Math.min(wait * 2, 8)) {
    const lock = await tryOnce(file, path)
    if (lock) return lock
    askFor(path)
    if (performance.now() + wait > deadline) return undefined
    await sleep(wait + Math.random() * wait)
  }
}
