/** Faults that the parts `errors` and `locks` of the fault tests have found, each repeated as a story. */
import assert from 'node:assert/strict'
import fs, { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import fsp from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { AcceptedRecord } from '../contracts/record.ts'
import { batchOf, draftOf } from '../src/records/batch.ts'
import { AppendLog } from '../src/storage/files/append.ts'
import { AssociationFile } from '../src/storage/files/association-file.ts'
import { acquire } from '../src/storage/files/lock.ts'
import { chainOf } from './disk.ts'
import { scratchDir } from './receiver.ts'

const quiet = { info() {}, warn() {}, error() {}, fatal() {} }
const always = (): boolean => true
const never = (): boolean => false
const at = '2026-06-15T14:32:00.000Z'

function record(narrative: string, storage: AcceptedRecord['storage'] = 'append-only'): AcceptedRecord {
  return {
    addon: storage === 'append-only' ? 'scn01' : 'vs01',
    association_slug: 'heron-ridge',
    participant_id: '@5sb-8hm-54v',
    storage,
    members: [['narrative', narrative]],
    unhashed: [],
  }
}

const soon = (): number => performance.now() + 8_000

/** Replaces one function of a built-in module, also for code that imports it by name. The returned function restores it. */
function replace<M extends object, K extends keyof M>(
  t: TestContext,
  module: M,
  name: K,
  by: M[K],
): () => void {
  const original = module[name]
  const set = (value: M[K]) => (): void => {
    module[name] = value
    syncBuiltinESMExports()
  }
  set(by)()
  t.after(set(original))
  return set(original)
}

const ioError = (): Error => Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 })

/** Delays the first `open` of a matching path until `meanwhile` has run. */
function holdOpen(t: TestContext, path: RegExp, flags: unknown, meanwhile: () => Promise<void>): void {
  const { open } = fsp
  let isHeld = false
  replace(t, fsp, 'open', (async (...args: Parameters<typeof open>) => {
    if (!isHeld && path.test(String(args[0])) && args[1] === flags) {
      isHeld = true
      await meanwhile()
    }
    return open(...args)
  }) as typeof open)
}

function disk(): { directory: string; path: string } {
  const directory = join(scratchDir(), 'heron-ridge')
  mkdirSync(directory)
  return { directory, path: join(directory, 'records.json') }
}

/** Two receivers on one records file. `store` opens the file for one of them, appends these records and closes the file. */
function twoReceivers() {
  const { directory, path } = disk()
  const [stopped, other] = [new AssociationFile(directory, quiet), new AssociationFile(directory, quiet)]
  const store = async (by: AssociationFile, ...names: readonly string[]): Promise<void> => {
    await by.open(always)
    await by.append(
      batchOf(
        names.map((name) => draftOf(record(name))),
        at,
      ),
      always,
    )
    await by.close()
  }
  return { directory, path, stopped, other, store }
}

test('a receiver that was stopped while it made a records file does not write over what another has put there', async (t) => {
  const { path, stopped, other, store } = twoReceivers()
  const makesIt = fs.constants.O_RDWR | fs.constants.O_CREAT
  holdOpen(t, /records\.json$/, makesIt, () => store(other, 'one'))
  await stopped.open(always)
  assert.equal(await stopped.append(batchOf([draftOf(record('two'))], at), never), undefined)
  await stopped.open(always)
  const [second] = (await stopped.append(batchOf([draftOf(record('two'))], at), always)) ?? []
  await stopped.close()
  assert.equal(second?.sequence, 2)
  assert.equal(chainOf(path).length, 2)
})

test('a receiver that was stopped while it repaired a records file does not cut what another has put there', async (t) => {
  const { path, stopped, other, store } = twoReceivers()
  await store(other, 'one')
  writeFileSync(path, `${readFileSync(path, 'latin1').slice(0, -3)},\n{"addon":"scn01","narr`)
  let isHeld = true
  holdOpen(t, /\.torn-/, 'wx', async () => {
    isHeld = false
    await store(other, 'two', 'three')
  })
  await assert.rejects(stopped.open(() => isHeld))
  assert.equal(chainOf(path).length, 3)
})

test('a receiver that was stopped between closing a repaired file and cutting it does not cut what another has put there', async (t) => {
  const { directory, path, stopped, other, store } = twoReceivers()
  await store(other, 'one')
  const torn = `${readFileSync(path, 'latin1').slice(0, -3)},\n{"addon":"scn01","narr`
  await store(other, 'two', 'three')
  const whole = readFileSync(path)
  writeFileSync(path, torn)
  rmSync(join(directory, '.records.head.json'))
  let isHeld = true
  const { writeSync } = fs
  replace(t, fs, 'writeSync', ((...args: Parameters<typeof writeSync>) => {
    const written = writeSync(...args)
    if (written === 3) {
      isHeld = false
      writeFileSync(path, whole)
    }
    return written
  }) as typeof writeSync)
  await assert.rejects(stopped.open(() => isHeld))
  assert.equal(chainOf(path).length, 3)
})

test('a fresh lock that has replaced a stale one is left to its holder', async (t) => {
  const { path } = disk()
  const lockPath = `${path}.lock`
  mkdirSync(lockPath)
  const { renameSync } = fs
  let fresh: fs.BigIntStats | undefined
  replace(t, fs, 'renameSync', ((from: string, to: string) => {
    if (!fresh) {
      // Here another process removes the lock first.
      fs.rmdirSync(from)
      mkdirSync(from)
      fresh = fs.statSync(from, { bigint: true })
    }
    renameSync(from, to)
  }) as typeof renameSync)
  assert.equal(await acquire(path, lockPath, performance.now() + 6_000), undefined)
  const left = fs.statSync(lockPath, { bigint: true })
  assert.deepEqual([left.ino, left.birthtimeNs], [fresh?.ino, fresh?.birthtimeNs])
})

test('an error of the disk right after the fdatasync does not store a retry twice', async (t) => {
  const { directory, path } = disk()
  const log = new AppendLog([join(directory, '..'), directory], quiet)
  await log.put(record('one'), soon())
  const { writeSync, fstatSync } = fs
  let isWritten = false
  replace(t, fs, 'writeSync', ((...args: Parameters<typeof writeSync>) => {
    isWritten = true
    return writeSync(...args)
  }) as typeof writeSync)
  const restore = replace(t, fs, 'fstatSync', ((fd: number, options: object) => {
    if (isWritten) throw ioError()
    return fstatSync(fd, options)
  }) as typeof fstatSync)
  const first = await log.put(record('two'), soon())
  assert.deepEqual(first, { ok: false, fault: 'io' })
  restore()
  const again = await log.put(record('two'), soon())
  await log.close()
  assert.equal(again.ok && again.receipt.sequence, 2)
  assert.equal(chainOf(path).length, 2)
})

test('a record that was written when the lock was lost is found by the next attempt, and its sender is told that it was appended', async (t) => {
  const { directory, path } = disk()
  const log = new AppendLog([join(directory, '..'), directory], quiet)
  await log.put(record('one'), soon())
  const { writeSync } = fs
  let isLost = false
  replace(t, fs, 'writeSync', ((...args: Parameters<typeof writeSync>) => {
    const written = writeSync(...args)
    if (!isLost) rmSync(`${path}.lock`, { recursive: true })
    isLost = true
    return written
  }) as typeof writeSync)
  const outcomes = await Promise.all(['two', 'two'].map((narrative) => log.put(record(narrative), soon())))
  assert.ok(isLost)
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && [outcome.receipt.outcome, outcome.receipt.sequence]),
    [
      ['appended', 2],
      ['duplicate', 2],
    ],
  )
  await log.close()
  assert.equal(chainOf(path).length, 2)
})

test('a lock whose state the disk does not report is not held, and is free again after the stale time', async (t) => {
  const { path } = disk()
  const lock = await acquire(path, `${path}.lock`, soon())
  assert.ok(lock)
  assert.ok(lock.held())
  const restore = replace(t, fs, 'statSync', (() => {
    throw ioError()
  }) as unknown as typeof fs.statSync)
  assert.equal(lock.held(), false)
  await lock.release()
  await assert.rejects(acquire(path, `${path}.lock`, soon()))
  restore()
  const next = await acquire(path, `${path}.lock`, soon())
  assert.ok(next)
  assert.ok(next.held())
  await next.release()
})

test('a lock whose directory cannot be read right after it was made is not kept fresh for ever', async (t) => {
  const { path } = disk()
  const { statSync } = fs
  let left = 1
  replace(t, fs, 'statSync', ((of: string, options?: { bigint?: boolean }) => {
    if (options?.bigint && left-- > 0) throw ioError()
    return statSync(of, options)
  }) as typeof statSync)
  const lock = await acquire(path, `${path}.lock`, soon())
  assert.ok(lock)
  assert.ok(lock.held())
  await lock.release()
})

test('a lock that cannot be removed is given up without an error', async (t) => {
  const { path } = disk()
  const lock = await acquire(path, `${path}.lock`, soon())
  assert.ok(lock)
  replace(t, fs, 'rmdirSync', () => {
    throw ioError()
  })
  await lock.release()
  assert.equal(lock.held(), false)
})
