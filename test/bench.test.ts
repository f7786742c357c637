/** The bench itself: its figures are right, its records files are valid, and it notices a record that was lost. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { draftOf } from '../src/records/batch.ts'
import { openFileStore } from '../src/storage/files/store.ts'
import { replyIn } from './bench/connection.ts'
import { directoryOf, drafts, fill, restore } from './bench/fill.ts'
import { goals, judged } from './bench/goals.ts'
import { pairsIn, resultOf } from './bench/paired.ts'
import { comparisons, plan, selected } from './bench/plan.ts'
import { readBackAppends, readBackOverwrites } from './bench/readback.ts'
import { numberOf, placekeyOf, requestFor, slugOf } from './bench/request.ts'
import type { Result, Round } from './bench/run.ts'
import { median, medianRatio, percentile } from './bench/statistics.ts'
import { linesOf } from './disk.ts'

const scratch = mkdtempSync(join(tmpdir(), 'civic-bench-test-'))
after(() => rmSync(scratch, { recursive: true }))

const quiet = { info() {}, warn() {}, error() {}, fatal() {} }

test('a percentile is the smallest value that so many do not exceed', () => {
  const values = Float64Array.from({ length: 1000 }, (_, at) => 1000 - at)
  assert.equal(percentile(values, 0.5), 500)
  assert.equal(percentile(values, 0.999), 999)
  assert.equal(percentile(values, 1), 1000)
  assert.equal(percentile(Float64Array.of(7), 0.99), 7)
})

test('a ratio is the median over the rounds, so that a slow round slows both sides', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([4, 1, 2, 3]), 2.5)
  assert.equal(medianRatio([100, 10, 90], [50, 5, 30]), 2)
  assert.ok(Number.isNaN(medianRatio([], [1])))
})

test('an answer counts once its last byte is there', () => {
  const whole = Buffer.from('HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n{  }')
  for (let length = 0; length < whole.length; length++)
    assert.equal(replyIn(whole.subarray(0, length)), undefined)
  assert.deepEqual(replyIn(whole), { status: 201, body: '{  }' })
  assert.throws(() => replyIn(Buffer.concat([whole, Buffer.from('x')])))
})

test('a request is one record of 4 KB, and its number, association and Placekey are where they belong', () => {
  const request = requestFor('append', true)
  request.set(1_234_567_890, 42, 777)
  const text = request.bytes.toString()
  const body = text.slice(text.indexOf('\r\n\r\n') + 4)
  const envelope = JSON.parse(body)
  assert.equal(envelope.association_slug, slugOf(42))
  assert.equal(envelope.participant_id, placekeyOf(777))
  assert.equal(numberOf(envelope.narrative), 1_234_567_890)
  assert.ok(Math.abs(Buffer.byteLength(body) - 4096) < 200, `${Buffer.byteLength(body)} bytes`)
})

test('the storage accepts a prepared records file, and finds its ids', async () => {
  const root = mkdtempSync(join(scratch, 'fill-'))
  const position = await fill(root, 700, () => {})
  const stored = JSON.parse(readFileSync(join(directoryOf(root), 'records.json'), 'utf8'))
  assert.equal(stored.length, 700)

  const warnings: string[] = []
  const log = { ...quiet, warn: (_: object, message: string) => void warnings.push(message) }
  const store = openFileStore({ root, minFreeBytes: 0, log })
  const put = (number: number) => {
    const { node_token_hash, receipt: _, ...envelope } = stored[0]
    const record = {
      ...{ addon: 'scn01', association_slug: slugOf(0), participant_id: placekeyOf(0) },
      storage: 'append-only' as const,
      members: Object.entries({
        ...envelope,
        narrative: envelope.narrative.replace(/\d{10}/, String(number).padStart(10, '0')),
      }) as [string, string][],
      unhashed: [['node_token_hash', node_token_hash]] as [string, string][],
    }
    assert.equal(drafts()(number).id, draftOf(record).id)
    return store.put(record, performance.now() + 5_000)
  }
  const again = await put(699)
  const fresh = await put(700)
  await store.close()
  assert.ok(again.ok && again.receipt.outcome === 'duplicate' && again.receipt.sequence === 700)
  assert.ok(fresh.ok && fresh.receipt.outcome === 'appended' && fresh.receipt.sequence === 701)
  assert.deepEqual(warnings, [])

  await restore(root, position)
  assert.deepEqual(JSON.parse(readFileSync(join(directoryOf(root), 'records.json'), 'utf8')), stored)
})

test('an acknowledged record that is not on disk as acknowledged is counted as lost', async () => {
  const root = mkdtempSync(join(scratch, 'lost-'))
  const from = await fill(root, 10, () => {})
  const path = join(directoryOf(root), 'records.json')
  const lines = linesOf(path)
  const { hash } = await import('node:crypto')
  const list = join(root, 'acknowledged')
  const acknowledged = lines.map((line, at) =>
    JSON.stringify({
      slug: slugOf(0),
      sequence: at + 1,
      sha256: hash('sha256', line, 'hex'),
    }),
  )
  writeFileSync(list, acknowledged.join('\n'))
  const start = { ...from, count: 0 }
  assert.deepEqual(await readBackAppends(root, list, start), { acknowledged: 10, lost: 0 })
  truncateSync(path, from.end - 100)
  assert.deepEqual(await readBackAppends(root, list, start), { acknowledged: 10, lost: 1 })
})

test('an overwrite counts as lost when the file holds what was answered before it was sent', async () => {
  const root = mkdtempSync(join(scratch, 'overwritten-'))
  const store = openFileStore({ root, minFreeBytes: 0, log: quiet })
  const record = {
    ...{ addon: 'vs01', association_slug: slugOf(0), participant_id: placekeyOf(1) },
    storage: 'overwrite-by-placekey' as const,
    members: [['fields', { note: 'Report no. 0000000005.' }]] as const,
    unhashed: [],
  }
  await store.put(record, performance.now() + 5_000)
  await store.close()
  const list = join(root, 'acknowledged')
  const entry = (number: number, sent: number, answered: number) =>
    JSON.stringify({ participant: placekeyOf(1), number, sent, answered })
  const lostOf = (...entries: string[]) => {
    writeFileSync(list, entries.join('\n'))
    return readBackOverwrites(root, list, slugOf(0)).lost
  }
  assert.equal(lostOf(entry(4, 0, 1), entry(5, 2, 3)), 0)
  assert.equal(
    lostOf(entry(5, 0, 3), entry(6, 1, 2)),
    0,
    'both were under way at once: either may be the last',
  )
  assert.equal(lostOf(entry(5, 0, 1), entry(6, 2, 3)), 1)
  assert.equal(lostOf(entry(6, 0, 1)), 1)
  assert.equal(lostOf(entry(4, 0, 1)), 0, 'the one in the file was sent later and never acknowledged')
})

test('every goal names points that a full run measures, and all names are different', () => {
  for (const mode of ['standard', 'full'] as const) {
    const points = plan(mode)
    const names = points.map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
    for (const goal of goals) {
      if ('of' in goal) assert.ok(names.includes(goal.of), goal.of)
      if ('to' in goal) assert.ok(names.includes(goal.to), goal.to)
    }
    for (const { of, to } of comparisons(points)) assert.notEqual(of, to)
  }
})

test('a point is compared with a peer at the same load, and with the obvious program also at the same length of the file', () => {
  const of = 'receiver: append, 64 at once, 10,000 stored'
  const found = comparisons(plan('standard')).filter((comparison) => comparison.of === of)
  const to = Object.fromEntries(found.map((comparison) => [comparison.as, comparison.to]))
  assert.equal(to.SQLite, 'SQLite: append, 64 at once')
  assert.equal(to.PostgreSQL, 'PostgreSQL: append, 64 at once')
  assert.equal(to.obvious, 'obvious program: append, 64 at once, 10,000 stored')
  assert.equal(to.empty, 'receiver: append, 64 at once')
})

test('a goal is judged by the median of the ratios of each round, and not at all when a side is missing', () => {
  const result = (name: string, ...rounds: Round[]): Result => ({
    point: { type: 'loop', name, loop: 'append', recordsPerSync: 1 },
    rounds,
  })
  const speed = (requestsPerSecond: number): Round => ({ requestsPerSecond })
  const results = [
    result('ours', speed(30), speed(8), speed(20)),
    result('theirs', speed(10), speed(1), speed(10)),
    result('idle', { idleBytes: 0, wakeUpsPerSecond: 5.5 }),
  ]
  const at = (least: number) => judged({ of: 'ours', to: 'theirs', least }, results)
  assert.deepEqual([at(3).found, at(3).reached, at(3.1).reached], [3, true, false])
  const idle = (figure: keyof Round, most: number) =>
    judged({ of: 'idle', figure, what: 'x', most }, results).reached
  assert.equal(idle('idleBytes', 0), true)
  assert.equal(idle('wakeUpsPerSecond', 5), false)
  assert.equal(idle('startMs', 300), undefined)
  assert.equal(judged({ of: 'ours', to: 'nobody', least: 1 }, results).reached, undefined)
})

test('the result of a pair is the median of the ratios of its turns, without turns in which a side answered nothing', () => {
  const turn = (of: number, to: number) =>
    [
      { requestsPerSecond: of, cpuPerRequest: 100 },
      { requestsPerSecond: to, cpuPerRequest: 50 },
    ] as const
  const turns = [turn(10, 10), turn(40, 20), turn(9, 3), turn(8, 2), turn(0, 5)]
  const { ratio, quartiles, ratios, speeds, cpu } = resultOf({ name: 'ours' }, { name: 'theirs' }, turns)
  assert.deepEqual(ratios, [1, 2, 3, 4])
  assert.equal(ratio, 2.5)
  assert.deepEqual(quartiles, [1, 3])
  assert.deepEqual(
    [speeds, cpu],
    [
      [9.5, 6.5],
      [100, 50],
    ],
  )
})

test('pairs compare the receiver with peers that do the same work, and a long file with an empty one', () => {
  const pairs = pairsIn(plan('standard')).map(({ of, to }) => `${of.name} ÷ ${to.name}`)
  assert.ok(pairs.includes('receiver: append, 1 at once ÷ SQLite: append, 1 at once'))
  assert.ok(pairs.includes('receiver: append, 64 at once, 100,000 stored ÷ receiver: append, 64 at once'))
  const onPostgres = 'receiver on PostgreSQL with standby: append, 1 at once'
  assert.ok(pairs.includes(`${onPostgres} ÷ PostgreSQL with standby: append, 1 at once`))
  assert.ok(pairs.includes(`${onPostgres} ÷ receiver: append, 1 at once`))
  assert.ok(pairs.every((pair) => /^receiver(?: on PostgreSQL(?: with standby)?)?: /.test(pair)))
  assert.ok(pairs.every((pair) => !/no checks|no storage|obvious|stored ÷ SQLite/.test(pair)))
})

test('--only selects points by words, together with the points of their comparison', () => {
  const names = selected(plan('standard'), ['receiver: overwrite']).map(({ name }) => name)
  assert.deepEqual(names, [
    'no storage: append, 64 at once',
    'write, fsync, rename, directory fsync, 64 at once',
    'SQLite, no checks: overwrite, 64 at once, 1,000 Placekeys',
    'SQLite: overwrite, 64 at once, 1,000 Placekeys',
    'PostgreSQL: overwrite, 64 at once, 1,000 Placekeys',
    'receiver: overwrite, 64 at once, 1,000 Placekeys',
  ])
})
