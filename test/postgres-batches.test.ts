/** How the PostgreSQL store puts the records of many associations into few statements, and what one of them may cost the others. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import type { Receipt } from '../contracts/record.ts'
import type { StorageObserver } from '../src/storage/observer.ts'
import { openPostgresStore } from '../src/storage/postgres/store.ts'
import { readUrl } from '../src/storage/postgres/url.ts'
import type { Store } from '../src/storage/store.ts'
import { sha256 } from './disk.ts'
import { type Server, until, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { openStoreOn, postgresWorld } from './postgres/worlds.ts'
import { scn01, scratchDir, vs01 } from './receiver.ts'
import { put, quiet, stored } from './records.ts'

const options = { skip: withoutServer }
let server: Server
let world: ReturnType<typeof postgresWorld>

before(async () => {
  if (withoutServer) return
  server = await preparedServer()
  world = postgresWorld(server)
})
/** All stores of a test that failed, which would keep this process alive. */
const opened: Store[] = []

after(async () => {
  await Promise.all(opened.map((store) => store.close()))
  await server?.stop()
})

/** A store on a database, the sizes of the batches that it committed, and how often it had to begin again. */
function watched(on = server) {
  const batches: number[] = []
  const again: string[] = []
  const observer: StorageObserver = {
    synced() {},
    batch: (records) => void batches.push(records),
    lockWait() {},
    again: (why) => void again.push(why),
  }
  const target = readUrl('DATABASE_URL', on.url())
  const timelineFile = `${scratchDir()}/timeline.json`
  const store = openPostgresStore({ target, timelineFile, requireStandby: false, log: quiet, observer })
  opened.push(store)
  return { store, batches, again, timelineFile }
}

const slugs = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}-${at}`)

async function storeInEach(store: Store, names: readonly string[], narrative: string): Promise<Receipt[]> {
  return Promise.all(names.map((slug) => stored(store, scn01({ association_slug: slug, narrative }))))
}

test(
  'records of many associations that wait together are one statement and one commit',
  options,
  async () => {
    const { store, batches } = watched()
    const names = slugs('many', 50)
    await storeInEach(store, names, 'first')
    await storeInEach(store, names, 'second')
    assert.deepEqual(batches, [50, 50])
    for (const name of names) assert.equal((await world.lines(name)).length, 2)
    await store.close()
  },
)

test(
  'invariant 4: an association that is damaged is refused alone, and all others of its batch are stored',
  options,
  async () => {
    const { store } = watched()
    const names = slugs('beside', 40)
    await storeInEach(store, names, 'first')
    await world.damage('beside-17')
    const outcomes = await Promise.all(
      names.map((slug) => put(store, scn01({ association_slug: slug, narrative: 'second' }))),
    )
    assert.deepEqual(
      outcomes.flatMap((outcome, at) => (outcome.ok ? [] : [[at, outcome.fault]])),
      [[17, 'damaged']],
    )
    assert.deepEqual((await store.readiness()).refused, ['scn01/beside-17'])
    for (const name of names) if (name !== 'beside-17') assert.equal((await world.lines(name)).length, 2)
    await store.close()
  },
)

test('an association that somebody keeps locked is refused alone', options, async () => {
  const { store } = watched()
  const names = slugs('locked', 8)
  await storeInEach(store, names, 'first')
  const outcomes = await server.asOwner(async (owner) => {
    await owner.query('BEGIN')
    await owner.query(`SELECT FROM civic.association WHERE slug = 'locked-3' FOR UPDATE`)
    const waiting = names.map((slug) => put(store, scn01({ association_slug: slug, narrative: 'second' })))
    // the end of the lock is the end of the test: everybody has an answer before
    const outcomes = await Promise.all(waiting)
    await owner.query('ROLLBACK')
    return outcomes
  })
  assert.deepEqual(
    outcomes.flatMap((outcome, at) => (outcome.ok ? [] : [[at, outcome.fault]])),
    [[3, 'busy']],
  )
})

test(
  'one duplicate and one association that another receiver moved cost a batch one more turn',
  options,
  async () => {
    const { store, batches, again } = watched()
    const names = slugs('moved', 30)
    await storeInEach(store, names, 'first')
    const other = watched().store
    await stored(other, scn01({ association_slug: 'moved-4', narrative: 'between' }))
    const receipts = await Promise.all(
      names.map((slug, at) =>
        stored(store, scn01({ association_slug: slug, narrative: at === 9 ? 'first' : 'second' })),
      ),
    )
    assert.deepEqual(
      receipts.map(({ outcome, sequence }) => [outcome, sequence]),
      names.map((_, at) => (at === 9 ? ['duplicate', 1] : ['appended', at === 4 ? 3 : 2])),
    )
    assert.deepEqual(again, ['lost'])
    assert.deepEqual(batches, [30, 29])
  },
)

test(
  'two receivers append to many associations at once: every chain is whole, and each record is there once',
  options,
  async () => {
    const stores = [watched().store, watched().store]
    const names = slugs('both', 30)
    const receipts = new Map<string, Receipt[]>(names.map((name) => [name, []]))
    await Promise.all(
      names.flatMap((slug) =>
        stores.map(async (store, which) => {
          for (let n = 0; n < 6; n++)
            receipts
              .get(slug)
              ?.push(await stored(store, scn01({ association_slug: slug, narrative: `${which}/${n}` })))
        }),
      ),
    )
    for (const [slug, given] of receipts) {
      const lines = await world.lines(slug)
      assert.equal(lines.length, 12)
      for (const { sequence, record_sha256 } of given)
        assert.equal(sha256(lines[(sequence as number) - 1] as string), record_sha256)
    }
  },
)

/** A server's process hands in its counts when it ends. */
async function countsAreIn(on: Server): Promise<void> {
  const ended = `SELECT count(*) FROM pg_stat_activity WHERE usename = 'civic_receiver'`
  await until(async () => Number((await on.sql(ended))[0]?.count) === 0)
}

test('an append looks at the last line only, also while the tables have no statistics', options, async () => {
  const fresh = await preparedServer()
  const { store } = watched(fresh)
  const records = 200
  for (let n = 0; n < records; n++)
    await stored(store, scn01({ association_slug: 'long', narrative: `${n}` }))
  await store.close()
  await countsAreIn(fresh)
  const [read] = await fresh.sql(
    `SELECT sum(idx_tup_read)::int AS rows FROM pg_stat_user_indexes WHERE schemaname = 'civic'`,
  )
  // the head, the line before, and the look for the record at the first touch
  const rows = Number(read?.rows)
  assert.ok(rows > records && rows < 5 * records, `${rows} rows were read`)
  await fresh.stop()
})

test(
  'after a record was sent again, heads are not read as if another receiver had written',
  options,
  async () => {
    const fresh = await preparedServer()
    const { store } = watched(fresh)
    const send = (narrative: string) => stored(store, scn01({ association_slug: 'again', narrative }))
    await send('first')
    assert.equal((await send('first')).outcome, 'duplicate')
    const records = 30
    for (let n = 0; n < records; n++) assert.equal((await send(`${n}`)).outcome, 'appended')
    await store.close()
    await countsAreIn(fresh)
    const [read] = await fresh.sql(
      `SELECT (seq_scan + idx_scan)::int AS scans FROM pg_stat_user_tables WHERE relname = 'association'`,
    )
    // the move of the head by each append, and a few looks at the beginning
    assert.ok(Number(read?.scans) < 1.5 * records, `${read?.scans} times`)
    await fresh.stop()
  },
)

test('a receipt is given when the server and its timeline are noted', options, async () => {
  const { store, timelineFile } = watched()
  await stored(store, scn01({ association_slug: 'noted' }))
  const { system, timeline } = JSON.parse(readFileSync(timelineFile, 'utf8'))
  assert.match(system, /^\d+$/)
  assert.equal(timeline, 1)
})

test(
  'after the process stood still, an envelope that would replace a newer one is refused, and a record is stored',
  options,
  async () => {
    const { store } = watched()
    await stored(store, vs01())
    // The thread stands still, as after SIGSTOP: its timers do not run.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_100)
    assert.deepEqual(await put(store, vs01()), { ok: false, fault: 'busy' })
    await stored(store, scn01())
  },
)

test(
  'under a setting that keeps a commit from the disk a duplicate is refused as well, and the log says why',
  options,
  async () => {
    const codes: unknown[] = []
    const log = { ...quiet, error: (fields: object) => void codes.push((fields as { code?: unknown }).code) }
    const store = openStoreOn([server.url()], log)
    opened.push(store)
    const known = scn01({ association_slug: 'unsafe', narrative: 'known' })
    await stored(store, known)
    for (const setting of ['synchronous_commit', 'full_page_writes']) {
      await server.sql(`ALTER SYSTEM SET ${setting} = off`)
      await server.sql('SELECT pg_reload_conf()')
      let count = 0
      const next = () => scn01({ association_slug: 'unsafe', narrative: `${setting} ${++count}` })
      await until(async () => !(await put(store, next())).ok)
      assert.deepEqual(await put(store, known), { ok: false, fault: 'io' }, setting)
      await server.sql(`ALTER SYSTEM RESET ${setting}`)
      await server.sql('SELECT pg_reload_conf()')
      await until(async () => (await put(store, next())).ok)
      assert.equal((await stored(store, known)).outcome, 'duplicate')
    }
    assert.deepEqual([...new Set(codes)], ['CV004'])
    await store.close()
  },
)
