/** The file store for append-only records: invariants 1 to 5 of src/storage/files/append.ts, and the repair of damaged files. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { acquire } from '../src/storage/files/lock.ts'
import { openFileStore } from '../src/storage/files/store.ts'
import { chainOf, headPath, recordsPath, sha256, tornOf } from './disk.ts'
import { scn01, scratchDir } from './receiver.ts'
import { put, quiet, stored, storeIn } from './records.ts'

/** Three records of a store that has been closed. */
async function threeRecords(): Promise<{ root: string; path: string }> {
  const root = scratchDir()
  const store = storeIn(root)
  for (const narrative of ['one', 'two', 'three']) await stored(store, scn01({ narrative }))
  await store.close()
  return { root, path: recordsPath(root) }
}

test('append (1): stored bytes never change', async () => {
  const { root, path } = await threeRecords()
  const before = readFileSync(path)
  const store = storeIn(root)
  for (let n = 0; n < 5; n++) await stored(store, scn01({ narrative: `more ${n}` }))
  await store.close()
  assert.deepEqual(readFileSync(path).subarray(0, before.length - 3), before.subarray(0, -3))
})

test('append (2): at rest the file is a whole array that ends in a closing of three bytes', async () => {
  const { path } = await threeRecords()
  const text = readFileSync(path, 'utf8')
  assert.equal(JSON.parse(text).length, 3)
  assert.ok(text.startsWith('[\n{') && text.endsWith('}\n]\n'))
})

test('append (4): a receipt names the stored line, and the next line names its hash', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const first = await stored(store, scn01({ narrative: 'one' }))
  const second = await stored(store, scn01({ narrative: 'two' }))
  await store.close()
  const lines = chainOf(recordsPath(root))
  assert.deepEqual(lines.map(sha256), [first.record_sha256, second.record_sha256])
  assert.equal(first.previous_sha256, '0'.repeat(64))
  assert.equal(second.previous_sha256, first.record_sha256)
  assert.deepEqual([first.sequence, second.sequence, first.outcome], [1, 2, 'appended'])
})

test('append (4): fifty parallel retries of one envelope are one record, and all get its receipt', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const receipts = await Promise.all(Array.from({ length: 50 }, () => stored(store, scn01())))
  await store.close()
  assert.equal(chainOf(recordsPath(root)).length, 1)
  assert.equal(receipts.filter(({ outcome }) => outcome === 'appended').length, 1)
  assert.equal(new Set(receipts.map(({ record_sha256 }) => record_sha256)).size, 1)
})

test('append (4): an envelope stored before the restart is answered with its first receipt', async () => {
  const { root, path } = await threeRecords()
  const store = storeIn(root)
  const again = await stored(store, scn01({ narrative: 'two' }))
  await store.close()
  assert.equal(again.outcome, 'duplicate')
  assert.equal(again.sequence, 2)
  assert.equal(again.record_sha256, sha256(chainOf(path)[1] as string))
})

/** Tries a story up to three times, because a busy machine may be too slow in one of them. */
async function onceInThree(story: (number: number) => Promise<boolean>): Promise<boolean> {
  for (let number = 0; number < 3; number++) if (await story(number)) return true
  return false
}

test('a lock that nobody wants is kept for the next envelope when one came after another', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const isKept = await onceInThree(async (number) => {
    for (const which of ['first', 'second'])
      await stored(store, scn01({ narrative: `number ${number}, the ${which}` }))
    await sleep(120)
    return existsSync(`${recordsPath(root)}.lock`)
  })
  await store.close()
  assert.ok(isKept)
})

test('a lock in use is released for a waiting process long before it would be without one', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const path = recordsPath(root)
  let isOver = false
  const work = async (): Promise<void> => {
    for (let number = 0; !isOver; number++) await stored(store, scn01({ narrative: `number ${number}` }))
  }
  const working = work()
  const isSoon = await onceInThree(async (number) => {
    // After this the store holds the lock.
    await stored(store, scn01({ narrative: `try ${number}` }))
    const asked = performance.now()
    const lock = await acquire(path, `${path}.lock`, asked + 5_000)
    const waited = performance.now() - asked
    await lock?.release()
    return lock !== undefined && waited < 500
  })
  isOver = true
  await working
  await store.close()
  assert.ok(isSoon)
})

test('append (5): an append to five thousand records reads nothing of them', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  for (let thousand = 0; thousand < 5; thousand++) {
    const many = Array.from({ length: 1_000 }, (_, n) =>
      scn01({ narrative: `${thousand} ${n}${'x'.repeat(500)}` }),
    )
    await Promise.all(many.map((envelope) => stored(store, envelope)))
  }
  const readSoFar = (): number => Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
  await stored(store, scn01({ narrative: 'warm' }))
  const reads: number[] = []
  for (let n = 0; n < 5; n++) {
    const before = readSoFar()
    await stored(store, scn01({ narrative: `measured ${n}` }))
    reads.push(readSoFar() - before)
  }
  // Other code of this process may read as well, so the smallest count is that of the append.
  const read = Math.min(...reads)
  await store.close()
  assert.ok(statSync(recordsPath(root)).size > 4_000_000)
  assert.ok(read < 50_000, `${read} bytes were read`)
})

test('members are written in the order of the contract, unknown ones after them, then the token hash and the receipt', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const odd = JSON.parse(
    '{"7":"seven","":"empty","constructor":{"toString":1},"toString":"\\u00e9\\ud83d\\ude00"}',
  )
  await stored(store, { ...odd, ...scn01() })
  await stored(store, scn01({ vs_snapshot: odd }))
  await store.close()
  const [line, other] = chainOf(recordsPath(root)) as [string, string]
  const order = [
    '"addon":',
    '"narrative":',
    '"dsc_snapshot":',
    '"g1_tx_hash":null,',
    '"7":',
    '"constructor":{',
    '"node_token_hash":',
    '"receipt":',
  ]
  const places = order.map((name) => line.indexOf(name))
  assert.ok(
    places.every((place, index) => place > (places[index - 1] ?? -1)),
    line,
  )
  assert.deepEqual(JSON.parse(other).vs_snapshot, odd)
  assert.ok(line.includes('"toString":"é😀"'))
})

test('a tail torn at any byte of a batch loses no record before it, and the retry is stored once', async () => {
  const { root, path } = await threeRecords()
  const whole = readFileSync(path)
  const head = readFileSync(headPath(path))
  const two = Buffer.from(readFileSync(path, 'utf8').split('\n').slice(1, 3).join('\n').replace(/,$/, ''))
  const start = 2 + two.length
  const old = Buffer.concat([whole.subarray(0, start), Buffer.from('\n]\n')])
  // This head file is that of a file with two records.
  const twoRoot = scratchDir()
  const store = storeIn(twoRoot)
  for (const narrative of ['one', 'two']) await stored(store, scn01({ narrative }))
  await store.close()
  for (let cut = start; cut < whole.length; cut++) {
    const written = whole.subarray(0, cut)
    const state = cut < old.length ? Buffer.concat([written, old.subarray(cut)]) : written
    writeFileSync(path, state)
    unlinkSync(headPath(path))
    const again = storeIn(root)
    const receipt = await stored(again, scn01({ narrative: 'three' }))
    await again.close()
    const lines = chainOf(path)
    assert.equal(lines.length, 3, `cut at ${cut}`)
    assert.equal(receipt.sequence, 3)
    assert.equal(Buffer.from(lines.slice(0, 2).join(',\n')).compare(two), 0)
    for (const name of readdirSync(dirname(path)))
      if (name.includes('.torn-')) rmSync(join(dirname(path), name))
  }
  writeFileSync(headPath(path), head)
})

test('the bytes that recovery cuts off are kept beside the file', async () => {
  const { root, path } = await threeRecords()
  const size = statSync(path).size
  const tail = ',\n{"addon":"scn01","narrative":"half a rec'
  truncateSync(path, size - 3)
  writeFileSync(path, tail, { flag: 'a' })
  const store = storeIn(root)
  await stored(store, scn01({ narrative: 'four' }))
  await store.close()
  assert.equal(chainOf(path).length, 4)
  assert.deepEqual(tornOf(path).map(String), [tail])
})

test('when only the closing is torn off it is restored, and no torn file is kept', async () => {
  for (const left of [0, 1, 2]) {
    const { root, path } = await threeRecords()
    truncateSync(path, statSync(path).size - 3 + left)
    const store = storeIn(root)
    assert.equal((await stored(store, scn01({ narrative: 'four' }))).sequence, 4)
    await store.close()
    assert.deepEqual(tornOf(path), [])
  }
})

for (const [what, damage] of [
  ['a byte of the first record was changed', (text: string) => text.replace('one', 'One')],
  ['a byte of the last record was changed', (text: string) => text.replace('three', 'Three')],
  [
    'the last record was deleted',
    (text: string) => `${text.split('\n').slice(0, 3).join('\n').replace(/,$/, '')}\n]\n`,
  ],
  [
    'a record in the middle was deleted',
    (text: string) =>
      text
        .split('\n')
        .filter((_, n) => n !== 2)
        .join('\n'),
  ],
  [
    'two records were swapped',
    (text: string) => text.replace(/(\{.*"one".*\},)\n(\{.*"two".*\},)/, '$2\n$1'),
  ],
  ['the opening bracket is gone', (text: string) => text.slice(2)],
  ['it is empty', () => ''],
] as const) {
  test(`a records file is refused and left alone when ${what}, and other associations go on`, async () => {
    const { root, path } = await threeRecords()
    const damaged = damage(readFileSync(path, 'utf8'))
    writeFileSync(path, damaged)
    const store = storeIn(root)
    assert.deepEqual(await put(store, scn01({ narrative: 'four' })), { ok: false, fault: 'damaged' })
    assert.deepEqual(await put(store, scn01({ narrative: 'one' })), { ok: false, fault: 'damaged' })
    assert.equal((await stored(store, scn01({ association_slug: 'plum-grove' }))).sequence, 1)
    assert.deepEqual((await store.readiness()).refused, ['scn01/heron-ridge'])
    await store.close()
    assert.equal(readFileSync(path, 'utf8'), damaged)
    assert.deepEqual(tornOf(path), [])
  })
}

test('a records file that is missing although its head file speaks of records is damage', async () => {
  const { root, path } = await threeRecords()
  unlinkSync(path)
  const store = storeIn(root)
  assert.deepEqual(await put(store, scn01({ narrative: 'four' })), { ok: false, fault: 'damaged' })
  await store.close()
  assert.throws(() => statSync(path))
})

test('a file that is changed while its end is known in memory is refused, and taken again when it is restored', async () => {
  const root = scratchDir()
  const path = recordsPath(root)
  const store = storeIn(root)
  for (const narrative of ['one', 'two', 'three']) await stored(store, scn01({ narrative }))
  await new Promise((resolve) => setTimeout(resolve, 120))
  copyFileSync(path, `${root}/kept`)
  writeFileSync(path, readFileSync(path, 'utf8').replace('one', 'One'))
  assert.deepEqual(await put(store, scn01({ narrative: 'four' })), { ok: false, fault: 'damaged' })
  copyFileSync(`${root}/kept`, path)
  assert.equal((await stored(store, scn01({ narrative: 'four' }))).sequence, 4)
  assert.deepEqual((await store.readiness()).refused, [])
  await store.close()
})

test('without a head file a changed record is damage when a whole record follows it', async () => {
  const { root, path } = await threeRecords()
  unlinkSync(headPath(path))
  writeFileSync(path, readFileSync(path, 'utf8').replace('one', 'One'))
  const store = storeIn(root)
  assert.deepEqual(await put(store, scn01({ narrative: 'four' })), { ok: false, fault: 'damaged' })
  await store.close()
})

test('a torn head file counts as no head file', async () => {
  const { root, path } = await threeRecords()
  writeFileSync(headPath(path), readFileSync(headPath(path), 'utf8').replace('"count":3', '"count":9'))
  const store = storeIn(root)
  assert.equal((await stored(store, scn01({ narrative: 'four' }))).sequence, 4)
  await store.close()
})

test('damage that cannot be repaired is logged once, at fatal, with the association', async () => {
  const { root, path } = await threeRecords()
  writeFileSync(path, readFileSync(path, 'utf8').replace('one', 'One'))
  const lines: object[] = []
  const store = storeIn(root, { ...quiet, fatal: (fields) => lines.push(fields) })
  for (let n = 0; n < 3; n++) await put(store, scn01({ narrative: 'four' }))
  await store.close()
  assert.equal(lines.length, 1)
  assert.equal((lines[0] as { association: string }).association, 'heron-ridge')
})

test('the start removes a stale lock that a process moved aside before it was killed', async () => {
  const { root, path } = await threeRecords()
  const longAgo = Date.now() / 1000 - 21
  for (const pid of [1, 2]) mkdirSync(`${path}.lock.stale-${pid}`)
  utimesSync(`${path}.lock.stale-1`, longAgo, longAgo)
  const store = storeIn(root)
  await store.start()
  await store.close()
  assert.deepEqual(readdirSync(dirname(path)).sort(), [
    '.records.head.json',
    'records.json',
    'records.json.lock.stale-2',
  ])
})

test('a directory where the records file should be is a fault, not a crash', async () => {
  const root = scratchDir()
  mkdirSync(recordsPath(root), { recursive: true })
  const store = storeIn(root)
  assert.deepEqual(await put(store, scn01()), { ok: false, fault: 'io' })
  await store.close()
})

test('a batch has at most 64 records, and at most a mebibyte where it has more than one', async () => {
  const sizes: number[] = []
  const observer = { synced() {}, batch: (many: number) => void sizes.push(many), lockWait() {}, again() {} }
  const store = openFileStore({ root: scratchDir(), minFreeBytes: 0, log: quiet, observer })
  const all = (many: number, narrative: string) =>
    Promise.all(Array.from({ length: many }, (_, n) => put(store, scn01({ narrative: `${narrative} ${n}` }))))
  for (const outcome of await all(150, 'small')) assert.ok(outcome.ok)
  assert.equal(Math.max(...sizes), 64)
  sizes.length = 0
  for (const outcome of await all(10, 'x'.repeat(400_000))) assert.ok(outcome.ok)
  assert.equal(Math.max(...sizes), 2)
  await store.close()
})
