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
 * Which directory it is: an inode number is used again at once, its time of birth is not. Not every file system keeps that
 * (ext4 with inodes of 128 bytes), so the time of the last heartbeat counts as well, and that of one on its way.
 */
type Identity = { readonly ino: bigint; readonly birth: bigint; beats: readonly number[] }

const made = new Map<string, Identity>()
/** Stands for a lock that was lost: no directory matches it, so none is removed. */
const lostOne: Identity = { ino: -1n, birth: -1n, beats: [] }
const takenOver = new Set<string>()
/** When the making of each began. */
const begun = new Map<string, number>()

/** Undefined also when the disk does not tell: what is not known to be ours is not ours. */
function statOf(path: string): fs.BigIntStats | undefined {
  try {
    return fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

function isOurs(path: string): fs.BigIntStats | undefined {
  const ours = made.get(path)
  const found = ours && statOf(path)
  if (found?.ino !== ours?.ino || found?.birthtimeNs !== ours?.birth) return undefined
  return found && ours?.beats.includes(beatOf(found)) ? found : undefined
}

function beatOf(found: fs.BigIntStats): number {
  return Math.round(Number(found.mtimeNs) / 1e6)
}

/** Set on the lock directory by whoever waits for it: the holder sees it, and it is gone with the directory. */
const wantedBit = 0o1000

function askFor(path: string): void {
  try {
    fs.chmodSync(path, 0o750 | wantedBit)
  } catch {
    // released a moment ago, or another user's: asked for by waiting alone
  }
}

function isStale(found: fs.BigIntStats): boolean {
  return Number(found.mtimeMs) < Date.now() - staleMs
}

/**
 * Somebody else may have replaced the stale lock since it was looked at. So it is moved aside first, which moves one
 * certain directory, and what turns out to be fresh is moved back: it is the same one for its holder.
 */
function removeStale(path: string): void {
  const aside = asideName(path)
  fs.renameSync(path, aside)
  const moved = statOf(aside)
  if (!moved) return
  if (isStale(moved)) fs.rmdirSync(aside)
  else fs.renameSync(aside, path)
}

/**
 * What proper-lockfile does to the disk. It removes a lock directory in two cases: to release one, also one that it
 * lost without noticing, and to take over a stale one, also one that has been replaced since it looked.
 */
const guarded = {
  mkdir(path: string, done: (error?: Error | null) => void): void {
    begun.set(path, performance.now())
    fs.mkdir(path, done)
  },
  // of a directory that was made or looked for a moment ago: cheaper than a turn of the thread pool
  stat(path: string, done: (error: unknown, found?: fs.Stats) => void): void {
    let found: fs.Stats
    try {
      found = fs.statSync(path)
    } catch (error) {
      done(error)
      return
    }
    done(null, found)
  },
  utimes(path: string, atime: Date, mtime: Date, done: (error?: Error | null) => void): void {
    const ours = made.get(path)
    if (ours) ours.beats = [...ours.beats.slice(0, 1), mtime.getTime()]
    fs.utimes(path, atime, mtime, (error) => {
      if (ours && !error) ours.beats = [mtime.getTime()]
      done(error)
    })
  },
  rmdir(path: string, done: (error?: unknown) => void): void {
    try {
      if (made.has(path)) {
        if (isOurs(path)) fs.rmdirSync(path)
      } else {
        takenOver.add(path)
        const found = statOf(path)
        if (found && isStale(found)) removeStale(path)
      }
    } catch (error) {
      done(error)
      return
    }
    done()
  },
  rmdirSync(path: string): void {
    if (isOurs(path)) fs.rmdirSync(path)
  },
}

async function tryOnce(file: string, path: string): Promise<Lock | undefined> {
  let lost = false
  let isWanted = false
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
  // after a stop in between, what is found may be what somebody else has made since
  const isSure = found && performance.now() - (begun.get(path) as number) < staleMs / 2
  made.set(path, isSure ? { ino: found.ino, birth: found.birthtimeNs, beats: [beatOf(found)] } : lostOne)
  const lock: Lock = {
    held() {
      const now = !lost && isOurs(path)
      if (!now) return false
      isWanted = (Number(now.mode) & wantedBit) !== 0
      return Date.now() - Number(now.mtimeMs) < staleMs / 2
    },
    wanted: () => isWanted,
    async release() {
      if (!lock.held()) made.set(path, lostOne)
      // also ends the heartbeat, which would keep a lock that we gave up from ever becoming stale; one that cannot be
      // removed now becomes so by itself
      await release().catch(() => {})
      made.delete(path)
    },
  }
  if (takenOver.has(path)) await sleep(settleMs)
  if (lock.held()) return lock
  await lock.release()
  return undefined
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
