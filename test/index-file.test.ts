/** The index of a long records file: when it is used, and that nothing depends on it (`src/storage/association-file.ts`, 5). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '../contracts/contract.ts'
import type { Store } from '../src/storage/store.ts'
import { association, audit, build, numbered, slug } from './audit-build.ts'
import { type Receiver, scratchDir, startReceiver } from './receiver.ts'
import { chainOf, put, quiet, recordsPath, stored, storeIn } from './records.ts'

const count = 4_200
/** The n-th envelope that is not in the files that are built. */
const further = (n: number): JsonObject => numbered(count + 1 + n)

/** Made once, for all tests: a data directory with a long file, no index. */
let original: string

before(() => {
  original = scratchDir()
  build(original, count)
})

/** A copy of the long file: a new one to the receiver. */
function copy(): string {
  const root = scratchDir()
  execFileSync('cp', ['-rp', `${original}/.`, root])
  return root
}

const records = (root: string): string => recordsPath(root, slug)
const head = (root: string): string => association(root).head
const index = (root: string): string => join(dirname(records(root)), '.records.index')

/** A long file whose receiver has taken one more envelope and has stopped. */
async function indexed(): Promise<string> {
  const root = copy()
  const store = storeIn(root)
  await stored(store, further(0))
  await store.close()
  return root
}

function bytesRead(pid: number | 'self'): number {
  return Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1])
}

/** Opens the store, does the work, and tells how much of the records file was read for it, in parts of it. */
async function partRead(root: string, work: (store: Store) => Promise<void>): Promise<number> {
  const { size } = statSync(records(root))
  const store = storeIn(root)
  const earlier = bytesRead('self')
  await work(store)
  const read = bytesRead('self') - earlier
  await store.close()
  return read / size
}

/** Says in the head file that the records file is as it should be now: what a change does that leaves the time as it was. */
function vouch(root: string): void {
  const { ctimeNs } = statSync(records(root), { bigint: true })
  const text = readFileSync(head(root), 'utf8')
  assert.match(text, /"ctime":"\d+"/)
  writeFileSync(head(root), text.replace(/"ctime":"\d+"/, `"ctime":"${ctimeNs}"`))
}

const outcomeOf = async (store: Store, envelope: JsonObject): Promise<string> => {
  const outcome = await put(store, envelope)
  return outcome.ok ? outcome.receipt.outcome : outcome.fault
}

test('association (5): after a stop the next process knows every record without reading them', async () => {
  const root = await indexed()
  const part = await partRead(root, async (store) => {
    const next = await stored(store, further(1))
    assert.equal(next.sequence, count + 2)
    for (let at = 1; at <= count + 2; at += 97) {
      const receipt = await stored(store, numbered(at))
      assert.equal(receipt.outcome, 'duplicate')
      assert.equal(receipt.sequence, at)
    }
  })
  // the index itself, the lines of the duplicates, and nothing else
  const duplicates = Math.ceil((count + 2) / 97) * 64 * 1024
  assert.ok(part < (duplicates + 300_000) / statSync(records(root)).size, `${part} of the file was read`)
  assert.equal(chainOf(records(root)).length, count + 2)
})

test('a short file has no index', async () => {
  const root = scratchDir()
  build(root, 100)
  const store = storeIn(root)
  await stored(store, further(0))
  await store.close()
  assert.deepEqual(readdirSync(dirname(records(root))).sort(), ['.records.head.json', 'records.json'])
})

test('after a kill the records since the last index are read, and no others; none is stored twice', async () => {
  const root = copy()
  const env = { DATA_DIR: root }
  const statuses = async (receiver: Receiver, from: number, to: number): Promise<Set<number>> => {
    const answers = Array.from({ length: to - from }, (_, at) => receiver.post(further(from + at)))
    return new Set((await Promise.all(answers)).map(({ status }) => status))
  }
  const first = await startReceiver(env)
  assert.deepEqual(await statuses(first, 0, 1), new Set([201]))
  while (!existsSync(index(root))) await sleep(20)
  assert.deepEqual(await statuses(first, 1, 61), new Set([201]))
  await first.stop('SIGKILL')
  const second = await startReceiver(env)
  const earlier = bytesRead(second.process.pid as number)
  assert.deepEqual(await statuses(second, 60, 61), new Set([200]))
  const part = (bytesRead(second.process.pid as number) - earlier) / statSync(records(root)).size
  assert.ok(part < 0.2, `${part} of the file was read`)
  assert.deepEqual(await statuses(second, 0, 60), new Set([200]))
  assert.deepEqual(await statuses(second, 61, 62), new Set([201]))
  assert.equal(await second.stop(), 0)
  assert.equal(chainOf(records(root)).length, count + 62)
})

const changes: Readonly<Record<string, (path: string) => void>> = {
  'one byte in the middle': (path) => flip(path, Math.floor(statSync(path).size / 2)),
  'one byte of the first record': (path) => flip(path, 40),
  'one byte before the end': (path) => flip(path, statSync(path).size - 40),
  'the last record gone': (path) => {
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, `${text.slice(0, text.lastIndexOf(',\n'))}\n]\n`)
  },
  'two records swapped': (path) => {
    const lines = readFileSync(path, 'utf8').split('\n')
    ;[lines[7], lines[8]] = [lines[8] as string, lines[7] as string]
    writeFileSync(path, lines.join('\n'))
  },
  'all records gone': (path) => writeFileSync(path, '[\n]\n'),
  'the file gone': unlinkSync,
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(path, bytes)
}

for (const [name, change] of Object.entries(changes)) {
  test(`association (5): an index hides no damage: ${name}`, async () => {
    const root = await indexed()
    const { mtime } = statSync(records(root))
    change(records(root))
    if (existsSync(records(root))) utimesSync(records(root), mtime, mtime)
    const damaged = existsSync(records(root)) ? readFileSync(records(root)) : undefined
    const store = storeIn(root)
    assert.equal(await outcomeOf(store, further(1)), 'damaged')
    await store.close()
    assert.deepEqual(existsSync(records(root)) ? readFileSync(records(root)) : undefined, damaged)
  })
}

test('association (5): an end that a power cut has torn is mended, though size and time of change are as they were', async () => {
  const root = await indexed()
  const { size } = statSync(records(root))
  const bytes = readFileSync(records(root))
  // what a write over the closing leaves when only the last block of the old length came to the disk
  bytes.write(',\n{', size - 3, 'latin1')
  writeFileSync(records(root), bytes)
  vouch(root)
  const store = storeIn(root)
  assert.equal(await outcomeOf(store, further(0)), 'duplicate')
  await store.close()
  assert.equal(chainOf(records(root)).length, count + 1)
})

test('what an index does not see: a change that leaves size and time of change as they were; the auditor does', async () => {
  const root = await indexed()
  flip(records(root), Math.floor(statSync(records(root)).size / 2))
  vouch(root)
  const store = storeIn(root)
  assert.equal(await outcomeOf(store, further(1)), 'appended')
  await store.close()
  assert.equal((await audit('verify', '--data', root)).exit, 1)
})

test('a head file that tells no time of change, as the version before writes it, makes everything be read', async () => {
  const root = await indexed()
  const text = readFileSync(head(root), 'utf8')
  writeFileSync(head(root), `${text.trimEnd().replace(/,"ctime":"\d+"/, '')}\n`)
  const part = await partRead(root, async (store) => {
    assert.equal(await outcomeOf(store, further(0)), 'duplicate')
  })
  assert.ok(part > 1, `${part} of the file was read`)
})

/** Whatever is the matter with the index, all records are read, and each is known. */
async function isNotUsed(root: string, next = further(1)): Promise<void> {
  const part = await partRead(root, async (store) => {
    assert.equal(await outcomeOf(store, next), 'appended')
    for (const at of [1, 2, Math.floor(count / 2), count]) {
      assert.equal(await outcomeOf(store, numbered(at)), 'duplicate')
    }
  })
  assert.ok(part > 1, `${part} of the file was read`)
}

test('an index of which any byte is another is not used', async () => {
  const root = await indexed()
  const { size } = statSync(index(root))
  const places = [0, 1, 12, 30, 100, 150, 256, 257, Math.floor(size / 2), size - 1]
  for (const [turn, at] of places.entries()) {
    // each stop writes a new one
    flip(index(root), at)
    await isNotUsed(root, further(turn + 1))
  }
})

for (const [name, cut] of Object.entries({ empty: 0, 'without a table': 256, 'cut short': 100_000 })) {
  test(`an index that is ${name} is not used`, async () => {
    const root = await indexed()
    truncateSync(index(root), cut)
    await isNotUsed(root)
  })
}

test('an index that speaks of other records is not used', async () => {
  const other = scratchDir()
  build(other, count)
  const store = storeIn(other)
  await stored(store, numbered(count + 500))
  await store.close()
  const root = await indexed()
  writeFileSync(index(root), readFileSync(index(other)))
  await isNotUsed(root)
})

test('an index that could not be written is missed by nobody, and leaves nothing behind', {
  skip: process.getuid?.() === 0 ? false : 'needs root for a small tmpfs',
}, async () => {
  const root = scratchDir()
  const { size } = statSync(records(original))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size + 100_000}`, 'civic-test', root])
  try {
    execFileSync('cp', ['-rp', `${original}/.`, root])
    const told: string[] = []
    const store = storeIn(root, { ...quiet, warn: (_fields, message) => told.push(message) })
    await stored(store, further(0))
    await store.close()
    assert.deepEqual(told, ['an index could not be written; the next start takes longer'])
    assert.deepEqual(readdirSync(dirname(records(root))).sort(), ['.records.head.json', 'records.json'])
    assert.equal(chainOf(records(root)).length, count + 1)
  } finally {
    execFileSync('umount', [root])
  }
})

test('the auditor takes an index for what it is, and the start removes one that a kill left half written', async () => {
  const root = await indexed()
  assert.equal(statSync(index(root)).mode & 0o7777, 0o640)
  const half = `${index(root)}.1234`
  writeFileSync(half, 'half', { mode: 0o640 })
  const longAgo = Date.now() / 1000 - 21
  utimesSync(half, longAgo, longAgo)
  const { exit, out } = await audit('verify', '--data', root)
  assert.equal(exit, 0, out)
  assert.match(out, /what a write, or the take-over of a lock, left when it was killed/)
  const store = storeIn(root)
  await store.sweep(new Map([['scn01', 'append-only']]))
  await store.close()
  assert.equal(existsSync(half), false)
  assert.ok(existsSync(index(root)))
})
