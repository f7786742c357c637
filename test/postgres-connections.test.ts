/** Which server a receiver uses when answers of the servers come late. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Connections } from '../src/storage/postgres/connections.ts'
import { Broken } from '../src/storage/postgres/fault.ts'
import { Timeline } from '../src/storage/postgres/timeline.ts'
import { readUrl } from '../src/storage/postgres/url.ts'
import { attachStandby, until, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { startRelay } from './postgres/relay.ts'
import { scratchDir } from './receiver.ts'
import { quiet } from './records.ts'

const options = { skip: withoutServer }

function connectionsTo(...ports: readonly number[]) {
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join()
  const timeline = new Timeline(join(scratchDir(), '.postgres.json'))
  const target = readUrl('DATABASE_URL', `postgres://civic_receiver@${hosts}/civic`)
  return { connections: new Connections(target, timeline, quiet), timeline }
}

const inAMinute = (): number => performance.now() + 60_000

test(
  'a server that answers after another one was seen to be promoted is not used, although it was asked before',
  options,
  async (t) => {
    const primary = await preparedServer()
    const standby = await attachStandby(primary)
    const toPrimary = await startRelay(primary.port, (link, nth) => {
      if (nth === 1) link.hold()
      if (nth === 2) link.destroy()
    })
    const toStandby = await startRelay(standby.port)
    const { connections } = connectionsTo(toPrimary.port, toStandby.port)
    t.after(async () => {
      await connections.close()
      for (const relay of [toPrimary, toStandby]) relay.close()
      for (const server of [primary, standby]) await server.discard()
    })
    const askForTimeline = () => connections.with(inAMinute(), async ({ facts }) => facts.timeline)

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
    const { connections } = connectionsTo(relay.port)
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

test('a commit on a server with a lower timeline than one that was seen is not acknowledged', async () => {
  const timeline = new Timeline(join(scratchDir(), '.postgres.json'))
  const old = { system: '7', timeline: 1 }
  await timeline.stored(old)
  timeline.seen(2)
  await assert.rejects(timeline.stored(old), Broken)
  assert.match(String(timeline.refusal(old)), /old primary/)
  await timeline.stored({ system: '7', timeline: 2 })
})
