/** The lock on a records file between processes: invariants 1 to 3 of src/storage/files/lock.ts. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs, { closeSync, existsSync, mkdirSync, openSync, renameSync, utimesSync } from 'node:fs'
import fsp from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { acquire, type Lock, staleMs, watchLock } from '../src/storage/files/lock.ts'
import { scratchDir } from './receiver.ts'

const soon = (ms: number): number => performance.now() + ms

/** Replaces the lock as another process would. The old directory is only moved away, so the new one cannot get its inode. */
function replaceLock(lockPath: string): void {
  renameSync(lockPath, `${lockPath}.moved`)
  mkdirSync(lockPath)
}

async function locked(path: string, withinMs = 1_000): Promise<Lock> {
  const lock = await acquire(path, `${path}.lock`, soon(withinMs))
  assert.ok(lock, 'the lock was not had')
  return lock
}

test('a lock can be acquired once, and again after its release', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  assert.ok(lock.held())
  await lock.release()
  assert.ok(!existsSync(`${path}.lock`))
  await (await locked(path)).release()
})

test('lock (1): a holder whose directory was replaced does not hold it any more', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  renameSync(`${path}.lock`, `${path}.moved`)
  assert.ok(!lock.held())
  mkdirSync(`${path}.lock`)
  assert.ok(!lock.held())
  await lock.release()
})

test('lock (1): a holder that stood still for half of the stale time does not hold it any more', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  // This blocks the whole thread, so that no heartbeat comes.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, staleMs / 2 + 50)
  assert.ok(!lock.held())
  await lock.release()
})

test('lock (2): a lost lock is not removed by its release', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  replaceLock(`${path}.lock`)
  await lock.release()
  assert.ok(existsSync(`${path}.lock`))
})

test('lock (1): a heartbeat that the thread pool holds up does not spoil the next lock at the same path', async (t) => {
  const directory = scratchDir()
  const path = join(directory, 'records.json')
  const first = await locked(path)
  // Each open of a FIFO that nobody writes to holds one thread of the pool.
  const fifos = Array.from({ length: 8 }, (_, n) => join(directory, `fifo-${n}`))
  execFileSync('mkfifo', fifos)
  const writers: number[] = []
  const opened = fifos.map((fifo) => fsp.open(fifo, 'r'))
  t.after(async () => {
    for (const file of await Promise.all(opened)) await file.close()
    for (const fd of writers) closeSync(fd)
  })
  await sleep(1_500) // longer than a heartbeat
  await first.release()
  const second = await locked(path)
  for (const fifo of fifos) writers.push(openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK))
  await Promise.all(opened)
  assert.ok(second.held())
  await second.release()
  assert.ok(!existsSync(`${path}.lock`))
})

describe('a lock that a dead process has left', { concurrency: true }, () => {
  const hour = 3_600
  for (const [what, offset] of [
    ['of this moment', 0],
    ['in the future, since the clock was set back', hour],
    ['long ago', -hour],
  ] as const) {
    test(`lock (3): is taken over when it has stood still for the stale time, with a date ${what}`, async () => {
      const path = left(offset)
      const began = performance.now()
      const lock = await locked(path, 30_000)
      assert.ok(performance.now() - began >= staleMs)
      await lock.release()
    })
  }

  test('lock (3): is not taken over while its holder lives, though the date of each heartbeat is an hour old', async () => {
    const path = left(-hour)
    let beats = 0
    const beating = setInterval(() => {
      const then = Date.now() / 1000 - hour + beats++ / 1000
      utimesSync(`${path}.lock`, then, then)
    }, 200)
    assert.equal(await acquire(path, `${path}.lock`, soon(staleMs + 1_000)), undefined)
    clearInterval(beating)
    assert.ok(existsSync(`${path}.lock`))
  })

  test('is watched from the start on, so that the first request for it waits less', async () => {
    const path = left(0)
    watchLock(`${path}.lock`)
    await sleep(staleMs)
    await (await locked(path, 1_000)).release()
  })

  test('lock (3): is not held by a taker that is replaced in the pause after the take-over', async (t) => {
    const path = left(0)
    const lockPath = `${path}.lock`
    const made = madeHere(t, lockPath)
    const taking = acquire(path, lockPath, soon(staleMs + 500))
    await made
    replaceLock(lockPath)
    assert.equal(await taking, undefined)
    assert.ok(existsSync(lockPath))
  })
})

/** Resolves when this process has made the lock directory at `lockPath` and has the result of the call. */
function madeHere(t: TestContext, lockPath: string): Promise<void> {
  const { mkdirSync } = fs
  t.after(() => {
    fs.mkdirSync = mkdirSync
  })
  return new Promise((resolve) => {
    const watched = (path: string): void => {
      mkdirSync(path)
      if (path === lockPath) setImmediate(resolve)
    }
    fs.mkdirSync = watched as typeof mkdirSync
  })
}

/** Makes a lock directory, whose date is so many seconds from now, and gives the path of its records file. */
function left(offset: number): string {
  const path = join(scratchDir(), 'records.json')
  mkdirSync(`${path}.lock`)
  const then = Date.now() / 1000 + offset
  utimesSync(`${path}.lock`, then, then)
  return path
}

test('a lock that was given up because of its age becomes stale, because its heartbeat has ended', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  // The new date looks as if another process had renewed the lock.
  utimesSync(`${path}.lock`, 1, 1)
  await lock.release()
  assert.ok(existsSync(`${path}.lock`))
  await (await locked(path, 30_000)).release()
})

test('a holder sees that somebody waits for its lock, until it is released', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  assert.ok(lock.held() && !lock.wanted())
  assert.equal(await acquire(path, `${path}.lock`, soon(0)), undefined)
  assert.ok(lock.held() && lock.wanted())
  await lock.release()
  const next = await locked(path)
  assert.ok(next.held() && !next.wanted())
  await next.release()
})

test('a held lock cannot be acquired before the deadline', async () => {
  const path = join(scratchDir(), 'records.json')
  mkdirSync(`${path}.lock`)
  const started = performance.now()
  assert.equal(await acquire(path, `${path}.lock`, soon(200)), undefined)
  assert.ok(performance.now() - started < 1_000)
})
