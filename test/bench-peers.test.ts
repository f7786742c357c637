/** The peers of the bench do the same work as the receiver; otherwise a ratio to them would mean nothing. Real databases, real processes. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange } from './bench/connection.ts'
import { fileSystemAt, nameOf, openDisk } from './bench/disk.ts'
import { directoryOf } from './bench/fill.ts'
import { alone, checkedApp, type Rows, type StoredRow } from './bench/floors/checked.ts'
import { findPeers, type Missing, type Peers } from './bench/peers.ts'
import { bundlePrograms, type Programs } from './bench/programs.ts'
import { type RequestKind, requestFor } from './bench/request.ts'
import { bytesWrittenTo, usageOf } from './bench/usage.ts'
import { chainIn, fileOf } from './disk.ts'
import { canMake, mountNew } from './faults/mounts.ts'
import { missingHere } from './needs.ts'
import { scn01, scratchDir, vs01 } from './receiver.ts'

/** Keeps rows in memory, to test the part that all peers share. */
function inMemory(): Rows & { readonly rows: StoredRow[]; readonly latest: Map<string, string> } {
  const rows: StoredRow[] = []
  const latest = new Map<string, string>()
  return {
    rows,
    latest,
    last: (association) => rows.findLast((row) => row.association === association)?.line,
    append(row) {
      const found = rows.find(({ id }) => id === row.id)
      if (!found) rows.push(row)
      return found?.line
    },
    overwrite: ({ association, participant, text }) => void latest.set(`${association} ${participant}`, text),
  }
}

const posted = (app: ReturnType<typeof checkedApp>, body: string): Promise<Response> =>
  Promise.resolve(app.request('/receive', { method: 'POST', body }))

test('a checked peer stores the line that the receiver would, in an unbroken chain, and finds a retry', async () => {
  const rows = inMemory()
  const app = checkedApp(alone(rows))
  const send = async (narrative: string) =>
    (await posted(app, JSON.stringify(scn01({ narrative })))).json() as Promise<Record<string, unknown>>
  const answers = await Promise.all(['one', 'two', 'three'].map(send))
  const again = await send('two')

  const lines = rows.rows.map(({ line }) => Buffer.from(line).toString())
  const { records } = chainIn(fileOf(lines))
  assert.equal(records.length, 3)
  assert.deepEqual(
    answers.map(({ sequence }) => sequence),
    [1, 2, 3],
  )
  assert.equal(answers[1]?.previous_sha256, answers[0]?.record_sha256)
  assert.deepEqual([again.sequence, again.record_sha256], [2, answers[1]?.record_sha256])

  const other = checkedApp(alone(rows))
  const next = (await (await posted(other, JSON.stringify(scn01({ narrative: 'four' })))).json()) as object
  assert.deepEqual({ ...next, sequence: 4, previous_sha256: answers[2]?.record_sha256 }, next)
})

test('a checked peer refuses what the receiver refuses, and stores nothing of it', async () => {
  const rows = inMemory()
  const app = checkedApp(alone(rows))
  assert.equal((await posted(app, '{"addon":"scn01","addon":"scn01"}')).status, 400)
  assert.equal((await posted(app, JSON.stringify(scn01({ standing: 'neighbour' })))).status, 422)
  assert.equal((await posted(app, JSON.stringify(vs01()))).status, 201)
  assert.deepEqual(rows.rows, [])
  assert.equal(rows.latest.size, 1)
})

describe('as processes', () => {
  const scratch = scratchDir()
  let peers: Peers
  let missing: readonly Missing[]
  let programs: Programs
  before(async () => {
    // PostgreSQL runs as a user of its own, which must be able to enter this directory.
    chmodSync(scratch, 0o711)
    const found = await findPeers(scratch, 'installed', () => {})
    peers = found.peers
    missing = found.missing
    programs = await bundlePrograms(scratch, peers)
  })
  after(() => rmSync(scratch, { recursive: true, force: true }))

  const poster =
    (port: number, kind: RequestKind = 'append') =>
    async (number: number) => {
      const request = requestFor(kind, false)
      request.set(number, 0, 0)
      const { status, body } = await exchange(port, request.bytes)
      assert.equal(status, 201, body)
      return JSON.parse(body) as { sequence: number; record_sha256: string; previous_sha256: string }
    }

  for (const [server, database] of [
    ['sqliteChecked', 'SQLite'],
    ['postgresChecked', 'PostgreSQL'],
    ['postgresTransactions', 'PostgreSQL'],
  ] as const) {
    test(`${server} on ${database} keeps the chain, finds a retry, and overwrites`, async (t) => {
      const lacking = missing.find((one) => one.server === database)
      if (lacking) return t.skip(lacking.why)
      const root = join(scratch, server)
      mkdirSync(root)
      const running = await programs.start(server, root)
      const post = poster(running.port)
      const [one, two, again, three] = [await post(1), await post(2), await post(1), await post(3)]
      await poster(running.port, 'overwrite')(4)
      await running.kill()
      assert.deepEqual([one.sequence, two.sequence, again.sequence, three.sequence], [1, 2, 1, 3])
      assert.equal(again.record_sha256, one.record_sha256)
      assert.deepEqual([two.previous_sha256, three.previous_sha256], [one.record_sha256, two.record_sha256])
      if (database === 'PostgreSQL') return
      const next = await programs.start(server, root)
      const four = await poster(next.port)(5)
      await next.kill()
      assert.deepEqual([four.sequence, four.previous_sha256], [4, three.record_sha256])
    })
  }

  test('a load in slices sends nothing between them, and every sender has its answer when a slice ends', async () => {
    const root = join(scratch, 'slices')
    mkdirSync(root)
    const { port, pid, kill } = await programs.start('bundled', root)
    const load = programs.load({
      ...{ port, pid, kind: 'append', concurrency: 4, keepAlive: true, associations: 1, placekeys: 1 },
      ...{ warmMs: 10, measureMs: 0, sliceMs: 80, acknowledged: join(scratch, 'acknowledged') },
    })
    const size = (): number => statSync(join(directoryOf(root), 'records.json')).size
    await load.ready
    const before = size()
    await sleep(100)
    assert.equal(size(), before)
    await load.slice()
    const after = size()
    assert.ok(after >= before + 4 * 4_000, 'each of four senders had a record stored')
    await sleep(100)
    assert.equal(size(), after)
    load.goOn()
    await kill()
    await load.done
  })

  test('the obvious program keeps every record of senders that come at once', async () => {
    const root = join(scratch, 'obvious')
    mkdirSync(root)
    const server = await programs.start('obvious', root)
    const post = async (number: number): Promise<number> => {
      const request = requestFor('append', false)
      request.set(number, 0, 0)
      return (await exchange(server.port, request.bytes)).status
    }
    const statuses = await Promise.all(Array.from({ length: 8 }, (_, number) => post(number)))
    await server.kill()
    assert.deepEqual(new Set(statuses), new Set([201]))
    const stored = JSON.parse(readFileSync(join(directoryOf(root), 'records.json'), 'utf8')) as object[]
    assert.equal(new Set(stored.map((record) => JSON.stringify(record))).size, 8)
  })
})

const lacks = missingHere(['mkfs.ext4', 'losetup']) ?? (canMake('ext4') ? undefined : 'mkfs.ext4')

test('an ext4 with a journal is distinguished from one without, an image for measuring has no holes, and bytes written to it are counted', {
  skip: lacks === undefined ? false : `needs ${lacks}`,
}, () => {
  const below = scratchDir()
  const bytes = 24 * 1024 * 1024
  const without = mountNew('ext4', join(below, 'without'), { bytes, words: ['-O', '^has_journal'] })
  assert.equal(nameOf(fileSystemAt(without.path)), 'ext4 without a journal')
  const disk = openDisk(without.path, 0, true)
  assert.equal(disk.fileSystem, 'ext4 without a journal')
  assert.equal(disk.device, undefined)
  disk.remove()
  without.remove()

  const whole = mountNew('ext4', join(below, 'with'), { bytes, isWritten: true })
  assert.equal(nameOf(fileSystemAt(whole.path)), 'ext4 with a journal')
  assert.ok(statSync(`${whole.path}.image`).blocks * 512 >= bytes)

  const { device } = fileSystemAt(whole.path)
  const record = Buffer.alloc(1024 * 1024, 'x')
  const before = { disk: bytesWrittenTo(device), process: usageOf(process.pid).writtenBytes }
  writeFileSync(join(whole.path, 'record'), record, { flush: true })
  assert.ok(bytesWrittenTo(device) - before.disk > record.length, 'the file system writes as well')
  assert.ok(usageOf(process.pid).writtenBytes - before.process >= record.length)
  whole.remove()
})

test('a directory in memory is refused, since nothing in it is on a disk', {
  skip: lacks === undefined ? false : `needs ${lacks}`,
}, () => {
  const memory = mountNew('tmpfs', join(scratchDir(), 'memory'))
  assert.throws(() => openDisk(memory.path, 0, false), /in memory/)
  memory.remove()
})

test('waits of a process are counted as wake-ups, and its work as processor time', () => {
  const waits = 20
  const before = usageOf(process.pid)
  const cell = new Int32Array(new SharedArrayBuffer(4))
  for (let wait = 0; wait < waits; wait++) Atomics.wait(cell, 0, 0, 2)
  for (const until = process.cpuUsage().user + 20_000; process.cpuUsage().user < until; );
  const now = usageOf(process.pid)
  assert.ok(now.wakeUps - before.wakeUps >= waits)
  assert.ok(now.cpuMs - before.cpuMs >= 20)
})
