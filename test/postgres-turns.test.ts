/** Several receivers append to one association, and none is kept from it by the others. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { beginInTurn, turnOf } from '../src/storage/postgres/statements.ts'
import type { Store } from '../src/storage/store.ts'
import { type Server, until, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { openStoreOn, postgresWorld } from './postgres/worlds.ts'
import { scn01 } from './receiver.ts'
import { put, quiet, stored } from './records.ts'

const options = { skip: withoutServer }
let server: Server
const opened: Store[] = []

before(async () => {
  if (!withoutServer) server = await preparedServer()
})
after(async () => {
  await Promise.all(opened.map((store) => store.close()))
  await server?.stop()
})

function openStore(log = quiet): Store {
  const store = openStoreOn([server.url()], log)
  opened.push(store)
  return store
}

const countOf = async (slug: string): Promise<number> =>
  Number((await server.sql('SELECT count FROM civic.association WHERE slug = $1', [slug]))[0]?.count)

/**
 * Appends to an association without a pause, as a receiver does that is never slowed down: the statements run inside the server. Nobody
 * who reads the head first can be faster.
 */
async function withRival(slug: string, use: () => Promise<void>): Promise<void> {
  const rival = new pg.Client({ connectionString: server.url('postgres') })
  await rival.connect()
  const running = rival.query(`DO $$
    DECLARE
      head record;
      id bytea;
      receipt text;
    BEGIN
      LOOP
        PERFORM pg_advisory_xact_lock_shared(${turnOf(`scn01/${slug}`)});
        SELECT * INTO head FROM civic.association WHERE slug = '${slug}';
        id := sha256(convert_to(head.count::text, 'UTF8'));
        receipt := format(',"receipt":{"id":"%s","sequence":%s,"received_at":"%s","previous_sha256":"%s"}}',
          encode(id, 'hex'), head.count + 1, head.received_at, head.sha256);
        INSERT INTO civic.record
          VALUES ('scn01', '${slug}', head.count + 1, id, convert_to('{"n":' || head.count || receipt, 'UTF8'));
        COMMIT;
      END LOOP;
    END
    $$`)
  running.catch(() => {})
  try {
    const before = await countOf(slug)
    await until(async () => (await countOf(slug)) > before + 20)
    await use()
  } finally {
    await server.sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'`)
    await assert.rejects(running, { code: '57014' })
    await rival.end()
  }
}

test('a receiver is not kept from an association by another one that never pauses', options, async () => {
  const store = openStore()
  const send = (narrative: string) => stored(store, scn01({ association_slug: 'fair', narrative }))
  await send('first')
  await withRival('fair', async () => {
    const receipts = await Promise.all(['second', 'third'].map(send))
    assert.deepEqual(
      receipts.map(({ outcome }) => outcome),
      ['appended', 'appended'],
    )
    assert.equal((await send('second')).outcome, 'duplicate')
  })
  assert.equal((await postgresWorld(server).lines('fair')).length, await countOf('fair'))
})

test(
  'a batch of several associations is stored, also when others write to two of them without a pause',
  options,
  async () => {
    const store = openStore()
    const slugs = ['one', 'two', 'three', 'four']
    const sendAll = (narrative: string) =>
      Promise.all(slugs.map((slug) => stored(store, scn01({ association_slug: slug, narrative }))))
    await sendAll('first')
    await withRival('two', () =>
      withRival('four', async () => {
        const outcomes = (await sendAll('second')).map(({ outcome }) => outcome)
        assert.deepEqual(outcomes, ['appended', 'appended', 'appended', 'appended'])
      }),
    )
  },
)

test(
  'invariant 4: an association whose head was set back loses every turn alone, and the log names it',
  options,
  async () => {
    const told: unknown[] = []
    const log = {
      ...quiet,
      error: (fields: object) => void told.push((fields as { association?: string }).association),
    }
    const store = openStore(log)
    const slugs = Array.from({ length: 8 }, (_, at) => `back-${at}`)
    const sendAll = (narrative: string) =>
      Promise.all(slugs.map((slug) => put(store, scn01({ association_slug: slug, narrative }))))
    await sendAll('first')
    await sendAll('second')
    await server.sql(
      `UPDATE civic.association SET count = 1, sha256 = (SELECT encode(sha256(line), 'hex') FROM civic.record
       WHERE slug = 'back-3' AND sequence = 1) WHERE slug = 'back-3'`,
    )
    assert.deepEqual(
      (await sendAll('third')).map((outcome) => outcome.ok || outcome.fault),
      slugs.map((slug) => (slug === 'back-3' ? 'busy' : true)),
    )
    assert.deepEqual(told, ['back-3'])
  },
)

test(
  'a reload of the settings during a turn does not change what its commit waits for',
  options,
  async () => {
    const other = new pg.Client({ connectionString: server.url() })
    await other.connect()
    const shown = async (client: pg.Client, name: string) =>
      (await client.query(`SHOW ${name}`)).rows[0][name]
    // A session without a turn, as old as the other one, shows when the sessions have read the settings.
    const beside = new pg.Client({ connectionString: server.url() })
    await beside.connect()
    await other.query(`SET default_transaction_isolation = 'repeatable read'`)
    await other.query(beginInTurn(['scn01/reload']))
    await server.sql('ALTER SYSTEM SET synchronous_commit = off')
    await server.sql('SELECT pg_reload_conf()')
    await until(async () => (await shown(beside, 'synchronous_commit')) === 'off')
    assert.equal(await shown(other, 'synchronous_commit'), 'on')
    assert.equal(await shown(other, 'transaction_isolation'), 'read committed')
    await other.query('COMMIT')
    await server.sql('ALTER SYSTEM RESET synchronous_commit')
    await server.sql('SELECT pg_reload_conf()')
    await until(async () => (await shown(beside, 'synchronous_commit')) === 'on')
    for (const client of [other, beside]) await client.end()
  },
)

test('a receiver that stops in its turn does not hold the others up', options, async () => {
  const store = openStore()
  const send = (narrative: string) => stored(store, scn01({ association_slug: 'stopped', narrative }))
  await send('first')
  const other = new pg.Client({ connectionString: server.url() })
  other.on('error', () => {})
  await other.connect()
  await other.query(beginInTurn(['scn01/stopped']))
  assert.equal((await send('second')).outcome, 'appended')
  await assert.rejects(other.query('COMMIT'))
})
