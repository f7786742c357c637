/**
 * The lock on one records file, across processes: proper-lockfile's directory, with a fence around what it cannot see.
 *
 * What proper-lockfile does: it makes the lock directory, which fails when there is one; it renews the directory's time every
 * second, and tells (`onCompromised`) when somebody else has renewed it; it removes the directory at the release and when the
 * process exits. What the guards below replace:
 *   - Staleness. The library compares the date of the directory with the clock of the machine. A clock that was set back makes
 *     a lock of a dead process last for as long. Here a lock is stale when it has not changed for `staleMs` as watched by this
 *     process on the monotonic clock, whatever its date says.
 *   - Removal. The library removes whatever is at the path: after a take-over, the lock of the next holder. Here only the
 *     directory that this process made is removed, and a stale one only if it is still the one that was watched.
 *
 * Invariants
 *   1. `held()` is true only while the lock directory is the one this process made and its last heartbeat began less than
 *      half of the stale time ago. Nobody else takes it over before it has stood still for twice that long.
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
import { hasCode } from '../../error-code.ts'
import { asideName } from './paths.ts'

/** A lock left by a kill is free after this; well below the 10 s in which every request is answered. */
export const staleMs = 5_000
const heartbeatMs = 1_000
const settleMs = 250

export type Lock = {
  /** Asked right before every write, without a turn of the event loop in between. */
  held(): boolean
  /** Whether the last `held()` saw that another process waits for it (in `acquire`). */
  wanted(): boolean
  /** Removes the lock if it is still ours; otherwise leaves it to whoever has it. */
  release(): Promise<void>
}

/**
 * Which directory this process made: an inode number is used again at once, its time of birth is not. Not every file system
 * keeps that (ext4 with inodes of 128 bytes), so the time of the last heartbeat counts as well, and that of one on its way.
 */
type Own = { readonly ino: bigint; readonly birth: bigint; beats: readonly number[]; beatAt: number }

/** What this process knows of the lock at one path. */
type KnownLock = {
  /** This process tries to get the lock, or has it. Only one attempt at a time does. */
  isTaken: boolean
  /** The attempt has made the lock directory, at a time on the clock of `performance.now()`. */
  madeAt: number | undefined
  /** How the directory looked right after the attempt had made it; undefined when the disk did not tell. */
  made: fs.BigIntStats | undefined
  /** The directory that it made; undefined when it cannot be told from another, or was lost. */
  own: Own | undefined
  /** The attempt has removed a stale lock on its way. */
  hasTakenOver: boolean
  /** The lock directory of somebody else: how it looked when it was last seen to change, and when that was. */
  watched: { readonly stamp: string; readonly since: number } | undefined
}

const locks = new Map<string, KnownLock>()

function knownOf(path: string): KnownLock {
  const found = locks.get(path)
  if (found) return found
  const known: KnownLock = {
    isTaken: false,
    madeAt: undefined,
    made: undefined,
    own: undefined,
    hasTakenOver: false,
    watched: undefined,
  }
  locks.set(path, known)
  return known
}

/** Undefined also when the disk reports an error: a directory counts as ours only when that is certain. */
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
  return own.beats.includes(beatOf(found)) ? { own, found } : undefined
}

function beatOf(found: fs.BigIntStats): number {
  return Math.round(Number(found.mtimeNs) / 1e6)
}

/** A process that waits for the lock sets this bit on the lock directory. The holder sees it; it goes with the directory. */
const wantedBit = 0o1000

function askFor(path: string): void {
  try {
    fs.chmodSync(path, 0o750 | wantedBit)
  } catch {
    // released a moment ago, or another user's: asked for by waiting alone
  }
}

/** A heartbeat changes the time of the directory. Asking for the lock changes its mode, which must not count. */
function stampOf({ dev, ino, birthtimeNs, mtimeNs }: fs.BigIntStats): string {
  return `${dev} ${ino} ${birthtimeNs} ${mtimeNs}`
}

/** Whether this lock of somebody else has stood still for the stale time. Begins to watch it when it is seen to change. */
function isStale(path: string, found: fs.BigIntStats): boolean {
  const known = knownOf(path)
  const stamp = stampOf(found)
  const now = performance.now()
  if (known.watched?.stamp !== stamp) known.watched = { stamp, since: now }
  return now - known.watched.since >= staleMs
}

/** For the start: a lock that a killed process left is watched from then on, so that the first request waits the less. */
export function watchLock(path: string): void {
  const found = locks.get(path)?.isTaken ? undefined : statOf(path)
  if (found) isStale(path, found)
}

/**
 * Somebody else may have replaced the stale lock since it was looked at. So it is moved aside first, which moves one
 * certain directory, and one that is not the stale one is moved back: it is the same one for its holder.
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
 * What proper-lockfile does to the disk goes through these. Making and removing the directory does not go through the thread pool:
 * there it would wait behind the flushes of other associations, for longer than the change itself ever takes.
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
  // of a directory that was made or looked for a moment ago: cheaper than a turn of the thread pool
  stat(path: string, done: (error: unknown, found?: { mtime: Date }) => void): void {
    const known = knownOf(path)
    let mtime: Date
    try {
      if (known.madeAt !== undefined && !known.own) {
        // the library looks at the directory that it has just made; what it finds tells whose the directory is (`tryOnce`)
        known.made = statOf(path)
        mtime = new Date(known.made ? beatOf(known.made) : 0)
      } else {
        const found = fs.statSync(path, { bigint: true })
        // the library judges a lock of somebody else by its date, so it is told a date that says what was watched
        if (known.own) mtime = new Date(beatOf(found))
        else mtime = isStale(path, found) ? longAgo : never
      }
    } catch (error) {
      done(error)
      return
    }
    done(null, { mtime })
  },
  utimes(path: string, atime: Date, mtime: Date, done: (error?: Error | null) => void): void {
    const own = locks.get(path)?.own
    const began = performance.now()
    if (own) own.beats = [...own.beats.slice(0, 1), mtime.getTime()]
    fs.utimes(path, atime, mtime, (error) => {
      if (own && !error) {
        own.beats = [mtime.getTime()]
        own.beatAt = began
      }
      done(error)
    })
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
  // after a stop in between, what was found may be what somebody else has made since
  if (made && performance.now() - madeAt < staleMs / 2) {
    known.own = { ino: made.ino, birth: made.birthtimeNs, beats: [beatOf(made)], beatAt: madeAt }
  }
  const lock = lockAt(path, known, release, () => isLost)
  if (known.hasTakenOver) await sleep(settleMs)
  // without a wait in between, the directory was looked at in this same turn
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
      // the library's release removes the directory in this same turn, and looks right before whether it is ours
      if (isLost() || !isFresh(known.own)) known.own = undefined
      // This also ends the heartbeat, which would keep a lock that we gave up from ever becoming stale. A directory that
      // cannot be removed now becomes stale by itself.
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
  known.isTaken = false
  known.madeAt = undefined
  known.made = undefined
  known.own = undefined
  known.hasTakenOver = false
}

/** Waits for the lock until `deadline` (on the clock of `performance.now()`); undefined when it was not had. */
export async function acquire(file: string, path: string, deadline: number): Promise<Lock | undefined> {
  for (let wait = 1; ; wait = Math.min(wait * 2, 8)) {
    const lock = await tryOnce(file, path)
    if (lock) return lock
    askFor(path)
    if (performance.now() + wait > deadline) return undefined
    await sleep(wait + Math.random() * wait)
  }
}
