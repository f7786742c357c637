/** Which server a receiver uses when answers of the servers come late. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Connections } from '../src/storage/postgres/connections.ts'
import { Broken } from '../src/storage/postgres/fault.ts'
import { Timeline } from '../src/storage/postgres/timeline.ts'
import { readUrl } from '../src/storage/postgres/url.ts'
import { attachStandby, until, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { type Link, startRelay } from './postgres/relay.ts'
import { scratchDir } from './receiver.ts'
import { quiet } from './records.ts'

const options = { skip: withoutServer }

function connectionsTo(...ports: readonly number[]) {
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join()
  const timeline = new Timeline(join(scratchDir(), '.postgres.json'))
  const target = readUrl('DATABASE_URL', `postgres://civic_receiver@${hosts}/civic`)
  return new Connections(target, timeline, quiet)
}

/** A primary and a standby, connections to both through relays, and the timeline of the server that they use. */
async function pair(t: TestContext, onLink: (link: Link, nth: number) => void) {
  const primary = await preparedServer()
  const standby = await attachStandby(primary)
  const toPrimary = await startRelay(primary.port, onLink)
  const toStandby = await startRelay(standby.port)
  const connections = connectionsTo(toPrimary.port, toStandby.port)
  t.after(async () => {
    await connections.close()
    for (const relay of [toPrimary, toStandby]) relay.close()
    for (const server of [primary, standby]) await server.discard()
  })
  const askForTimeline = () => connections.with(inAMinute(), async ({ facts }) => facts.timeline)
  return { standby, toPrimary, toStandby, connections, askForTimeline }
}

const inAMinute = (): number => performance.now() + 60_000

test(
  'a server that answers after another one was seen to be promoted is not used, although it was asked before',
  options,
  async (t) => {
    const { standby, toPrimary, toStandby, connections, askForTimeline } = await pair(t, (link, nth) => {
      if (nth === 1) link.hold()
      if (nth === 2) link.destroy()
    })

    const first = askForTimeline()
    await until(() => toPrimary.links.length > 0 && toStandby.links[0]?.client.destroyed === true)
    await standby.promote()
    const held = connections.with(inAMinute(), async ({ facts }) => {
      assert.equal(facts.timeline, 2)
      const second = askForTimeline()
      toPrimary.links[0]?.release()
      return second
    })
    assert.equal(await first, 2)
    assert.equal(await held, 2)
  },
)

test(
  'a question about a connection that hangs is asked again when its answer does not come',
  options,
  async (t) => {
    const server = await preparedServer()
    let held = 0
    const relay = await startRelay(server.port, (link) => {
      link.client.prependListener('data', (chunk: Buffer) => {
        if (!chunk.includes('backend_start = $2') || held > 0) return
        held++
        link.hold()
      })
    })
    const connections = connectionsTo(relay.port)
    t.after(async () => {
      await connections.close()
      relay.close()
      await server.discard()
    })
    // The server ends this statement after 8 s, so the connection hangs for most of that time.
    const hanging = connections.with(inAMinute(), (connection) =>
      connection.run({ text: 'SELECT pg_sleep(60)' }),
    )
    hanging.catch(() => {})
    await until(() => held === 1)
    const before = relay.links.length
    await until(() => relay.links.length > before)
  },
)

test(
  'an old primary that was asked about a connection is not used after the promotion',
  options,
  async (t) => {
    let asking: Link | undefined
    const { standby, connections, askForTimeline } = await pair(t, (link) => {
      link.client.prependListener('data', (chunk: Buffer) => {
        if (asking || !chunk.includes('backend_start = $2')) return
        asking = link
        link.hold()
      })
    })

    const hanging = connections.with(inAMinute(), (connection) =>
      connection.run({ text: 'SELECT pg_sleep(60)' }),
    )
    hanging.catch(() => {})
    await until(() => asking !== undefined)
    await standby.promote()
    assert.equal(await askForTimeline(), 2)
    asking?.release()
    const late = inAMinute()
    await until(() => asking?.client.destroyed === true || performance.now() > late)
    const all = await Promise.all(
      Array.from({ length: 4 }, () =>
        connections.with(inAMinute(), async (connection) => {
          await connection.run({ text: 'SELECT pg_sleep(0.2)' })
          return connection.facts.timeline
        }),
      ),
    )
    assert.deepEqual(all, [2, 2, 2, 2])
  },
)

test('a connection whose transaction may still be open is not used again', options, async (t) => {
  const server = await preparedServer()
  await server.sql('CREATE TABLE public.once (number integer UNIQUE DEFERRABLE INITIALLY DEFERRED)')
  await server.sql('GRANT INSERT ON public.once TO civic_receiver')
  await server.sql('GRANT USAGE ON SCHEMA public TO civic_receiver')
  const connections = connectionsTo(server.port)
  t.after(async () => {
    await connections.close()
    await server.discard()
  })
  await connections.with(inAMinute(), async (connection) => {
    const insertTwice = () => connection.run({ text: 'INSERT INTO public.once VALUES (1), (1)' })
    const failed = connection.inTransaction('BEGIN', insertTwice)
    await assert.rejects(failed, { code: '23505' })
    assert.equal(connection.isBroken, true)
  })
  await connections.with(inAMinute(), async (connection) => {
    await assert.rejects(
      connection.inTransaction('BEGIN', () => connection.run({ text: 'SELECT 1 / 0' })),
      {
        code: '22012',
      },
    )
    assert.equal(connection.isBroken, false)
    const [row] = await connection.run({ text: 'SELECT pg_current_xact_id_if_assigned() IS NULL AS outside' })
    assert.equal(row?.outside, true)
  })
})

test('a commit on a server with a lower timeline than one that was seen is not acknowledged', async () => {
  const timeline = new Timeline(join(scratchDir(), '.postgres.json'))
  const old = { system: '7', timeline: 1 }
  await timeline.stored(old)
  timeline.seen({ system: '7', timeline: 2 })
  await assert.rejects(timeline.stored(old), Broken)
  assert.match(String(timeline.refusal(old)), /old primary/)
  await timeline.stored({ system: '7', timeline: 2 })
})

test('before anything was stored, a timeline of another system says nothing', () => {
  const path = join(scratchDir(), '.postgres.json')
  const timeline = new Timeline(path)
  timeline.seen({ system: '7', timeline: 4 })
  assert.equal(timeline.refusal({ system: '8', timeline: 1 }), undefined)
  timeline.seen({ system: '7', timeline: 3 })
  assert.match(String(timeline.refusal({ system: '7', timeline: 3 })), /old primary/)
  // A restart forgets what was only seen.
  assert.equal(new Timeline(path).refusal({ system: '7', timeline: 3 }), undefined)
})
