import assert from 'node:assert/strict'
import { existsSync, mkdirSync, rmdirSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { acquire, type Lock, staleMs } from '../src/storage/lock.ts'
import { scratchDir } from './receiver.ts'

const soon = (ms: number): number => performance.now() + ms

async function locked(path: string, withinMs = 1_000): Promise<Lock> {
  const lock = await acquire(path, `${path}.lock`, soon(withinMs))
  assert.ok(lock, 'the lock was not had')
  return lock
}

test('a lock is had once, and again after its release', async () => {
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
  rmdirSync(`${path}.lock`)
  assert.ok(!lock.held())
  mkdirSync(`${path}.lock`)
  assert.ok(!lock.held())
  await lock.release()
})

test('lock (1): a holder whose heartbeat is older than half of the stale time does not hold it any more', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  const then = (Date.now() - staleMs / 2) / 1000
  utimesSync(`${path}.lock`, then, then)
  assert.ok(!lock.held())
  await lock.release()
})

test('lock (2): a lost lock is not removed by its release', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  rmdirSync(`${path}.lock`)
  mkdirSync(`${path}.lock`)
  await lock.release()
  assert.ok(existsSync(`${path}.lock`))
})

test('lock (3): a stale lock is taken over, after a pause in which another taker would show', async () => {
  const path = join(scratchDir(), 'records.json')
  mkdirSync(`${path}.lock`)
  const then = (Date.now() - staleMs - 100) / 1000
  utimesSync(`${path}.lock`, then, then)
  const started = performance.now()
  const lock = await locked(path)
  assert.ok(performance.now() - started >= 250)
  await lock.release()
})

test('lock (3): a taker that is replaced in that pause does not hold the lock', async () => {
  const path = join(scratchDir(), 'records.json')
  mkdirSync(`${path}.lock`)
  const then = (Date.now() - staleMs - 100) / 1000
  utimesSync(`${path}.lock`, then, then)
  const taking = acquire(path, `${path}.lock`, soon(500))
  // taken over once its time is new
  while ((statSync(`${path}.lock`, { throwIfNoEntry: false })?.mtimeMs ?? 0) < Date.now() - staleMs)
    await sleep(5)
  await sleep(50)
  rmdirSync(`${path}.lock`)
  mkdirSync(`${path}.lock`)
  assert.equal(await taking, undefined)
  assert.ok(existsSync(`${path}.lock`))
})

test('a lock that was given up because it aged becomes stale, since its heartbeat has ended', async () => {
  const path = join(scratchDir(), 'records.json')
  const lock = await locked(path)
  const then = (Date.now() - staleMs / 2) / 1000
  utimesSync(`${path}.lock`, then, then)
  await lock.release()
  await (await locked(path, staleMs + 1_000)).release()
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

test('a lock that somebody holds is not had before the deadline', async () => {
  const path = join(scratchDir(), 'records.json')
  mkdirSync(`${path}.lock`)
  const started = performance.now()
  assert.equal(await acquire(path, `${path}.lock`, soon(200)), undefined)
  assert.ok(performance.now() - started < 1_000)
})
