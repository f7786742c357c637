/**
 * A receiver whose connections to the database are forgotten by something in between, such as a firewall that was started again: nothing
 * arrives any more, nobody is told, and new connections work.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Server, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { startRelay } from './postgres/relay.ts'
import { scn01, startReceiver, vs01 } from './receiver.ts'

const options = { skip: withoutServer }
let server: Server

before(async () => {
  if (!withoutServer) server = await preparedServer()
})
after(async () => {
  await server?.discard()
})

async function processes(): Promise<unknown[]> {
  const rows = await server.sql(`SELECT pid FROM pg_stat_activity WHERE usename = 'civic_receiver'`)
  return rows.map(({ pid }) => pid)
}

test(
  'connections that are forgotten on the way are replaced, and everything is stored once',
  options,
  async (t) => {
    const firewall = await startRelay(server.port)
    t.after(() => firewall.close())
    const receiver = await startReceiver({
      DATABASE_URL: `postgres://civic_receiver@127.0.0.1:${firewall.port}/civic`,
    })
    const stored = async (envelope: unknown): Promise<boolean> => (await receiver.post(envelope)).ok
    assert.ok(await stored(scn01({ narrative: 'before' })))
    assert.ok(await stored(vs01({ fields: { before: 'yes' } })))

    const forgotten = await processes()
    for (const envelope of [scn01({ narrative: 'afterwards' }), vs01({ fields: { afterwards: 'yes' } })]) {
      for (const link of firewall.links) link.hold()
      // Without another connection every post is refused for as long as the system keeps the old one, which is 15 minutes.
      const until = performance.now() + 60_000
      while (!(await stored(envelope))) assert.ok(performance.now() < until, 'still refused after a minute')
      // The server has room for few processes, so that of the statement is not left behind. (Another one may not have been needed yet.)
      for (let now = forgotten; forgotten.every((pid) => now.includes(pid)); now = await processes())
        assert.ok(performance.now() < until, 'a process waits for a statement that never comes')
    }
    const rows = await server.sql(
      `SELECT convert_from(line, 'UTF8') AS line FROM civic.record ORDER BY sequence`,
    )
    assert.deepEqual(
      rows.map(({ line }) => JSON.parse(String(line)).narrative),
      ['before', 'afterwards'],
    )
    await receiver.stop()
  },
)
