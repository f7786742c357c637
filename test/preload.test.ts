/** Long records files are read when the receiver starts, so that no sender has to wait for the reading. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Outcome } from '../contracts/record.ts'
import { AppendLog } from '../src/storage/files/append.ts'
import { build, numbered, slug } from './audit-build.ts'
import { receiverCommand } from './bundle.ts'
import { chainOf, recordsPath } from './disk.ts'
import { missingHere } from './needs.ts'
import { scratchDir, startReceiver } from './receiver.ts'
import { accepted, quiet, stored, storeIn } from './records.ts'

const bytesRead = (): number => Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'latin1'))?.[1])

test('the start reads a long records file, says so, and the first post reads nothing of it any more', async () => {
  const root = scratchDir()
  build(root, 3_000)
  const told: object[] = []
  const store = storeIn(root, {
    ...quiet,
    info: (fields, message) => {
      if (message === 'a long records file was read') told.push(fields)
    },
  })
  await store.start()
  assert.deepEqual((await store.readiness()).reading, [])
  const before = bytesRead()
  assert.equal((await stored(store, numbered(3_001))).sequence, 3_001)
  assert.equal((await stored(store, numbered(7))).outcome, 'duplicate')
  assert.ok(bytesRead() - before < statSync(recordsPath(root, slug)).size / 2)
  await store.close()
  assert.deepEqual(told.length, 1)
  const { association, records } = told[0] as { association: string; records: number }
  assert.deepEqual([association, records], [slug, 3_000])
  assert.equal(chainOf(recordsPath(root, slug)).length, 3_001)
})

test('the longest file is read first, and of two that are as long the one that was written last', async () => {
  const root = scratchDir()
  mkdirSync(join(root, 'scn01'))
  for (const [name, count, day] of [
    ['early', 3_000, '2026-01-01'],
    ['late', 3_000, '2026-01-02'],
    ['longest', 4_000, '2025-01-01'],
  ] as const) {
    const { directory, records } = build(scratchDir(), count)
    utimesSync(records, new Date(day), new Date(day))
    renameSync(directory, join(root, 'scn01', name))
  }
  const order: string[] = []
  const store = storeIn(root, {
    ...quiet,
    info: (fields, message) => {
      if (message === 'a long records file was read')
        order.push((fields as { association: string }).association)
    },
  })
  await store.start()
  assert.deepEqual(order, ['longest', 'late', 'early'])
  await store.close()
})

/** Makes a log of so many records, and begins to read it. */
function beingRead(count: number) {
  const root = scratchDir()
  build(root, count)
  const log = new AppendLog([join(root, 'scn01'), join(root, 'scn01', slug)], quiet)
  const state = { hasEnded: false }
  const reading = log.preload().then(() => {
    state.hasEnded = true
  })
  return { log, reading, state }
}

/** Holds this thread, as other work would. */
function hold(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

test('when the reading is slow at first, a post that has the time waits for it', async () => {
  const before = bytesRead()
  const { log, reading } = beingRead(20_000)
  // Wait until the first megabyte was read.
  while (bytesRead() - before < 1024 * 1024) await new Promise(setImmediate)
  hold(2_000)
  const outcomes: Outcome[] = []
  for (let n = 1; n <= 5; n++) {
    await new Promise(setImmediate)
    void log
      .put(accepted(numbered(30_000 + n)), performance.now() + 20_000)
      .then((each) => outcomes.push(each))
  }
  await reading
  while (outcomes.length < 5) await new Promise(setImmediate)
  assert.deepEqual(new Set(outcomes.map(({ ok }) => ok)), new Set([true]))
  await log.close()
})

test('an accepted post that would come too late is refused before the reading ends', async () => {
  const { log, reading, state } = beingRead(20_000)
  let wasToldBefore = false
  void log.put(accepted(numbered(30_000)), performance.now() + 300).then((outcome) => {
    wasToldBefore = !outcome.ok && outcome.fault === 'reading' && !state.hasEnded
  })
  while (!state.hasEnded) {
    // With this delay the 25 parts of the file take some seconds.
    hold(150)
    await new Promise(setImmediate)
  }
  await reading
  assert.ok(wasToldBefore)
  await log.close()
})

test('the refusal of a post that cannot wait for the reading says why, and when to send again', {
  skip: missingHere(['strace']),
}, async () => {
  const root = scratchDir()
  build(root, 9_000)
  // Each part of the file takes a second and a half, so the whole file takes longer than any request.
  const slow = ['-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=1500000']
  const strace = ['strace', '-D', '-f', '-o', '/dev/null', '-P', recordsPath(root, slug), ...slow]
  const receiver = await startReceiver({ DATA_DIR: root }, [...strace, ...receiverCommand])
  const response = await receiver.post(numbered(9_001))
  assert.equal(response.status, 503)
  assert.equal(response.headers.get('retry-after'), '10')
  const { type, detail } = (await response.json()) as { type: string; detail: string }
  assert.match(type, /:storage-busy$/)
  assert.match(detail, /^Nothing was stored\. The receiver has started lately and still reads the records/)
  assert.ok(!detail.includes(slug))
  await receiver.stop('SIGKILL')
})
