/** Receivers on one database whose clocks differ. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Server, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { type Receiver, scn01, startReceiver, vs01 } from './receiver.ts'

const options = { skip: withoutServer }
let server: Server

before(async () => {
  if (!withoutServer) server = await preparedServer()
})
after(async () => server?.stop())

/** Starts a receiver with a clock that is so many seconds ahead. A module that is loaded first moves the clock and changes nothing else. */
function receiverAhead(seconds: number): Promise<Receiver> {
  const clock = `const True = Date
    const now = () => True.now() + ${seconds * 1000}
    globalThis.Date = class extends True {
      constructor(...given) { if (given.length) super(...given); else super(now()) }
      static now() { return now() }
    }`
  const preload = `data:text/javascript,${encodeURIComponent(clock)}`
  const command = [process.execPath, '--import', 'tsx', '--import', preload, 'src/main.ts']
  return startReceiver({ DATABASE_URL: server.url() }, command)
}

for (const seconds of [10, -10]) {
  test(`a clock that is off by ${seconds} s: 503, and /ready says why`, options, async () => {
    const receiver = await receiverAhead(seconds)
    for (const envelope of [scn01(), vs01()]) {
      const response = await receiver.post(envelope)
      assert.equal(response.status, 503)
      assert.match(((await response.json()) as { type: string }).type, /:storage-failure$/)
    }
    const ready = await fetch(`${receiver.url}/ready`)
    assert.equal(ready.status, 503)
    const { reasons } = (await ready.json()) as { reasons: string[] }
    assert.deepEqual(reasons, ['the clocks of this machine and of the database are more than 5 s apart'])
    assert.deepEqual(await server.sql('SELECT count(*)::int AS count FROM civic.record'), [{ count: 0 }])
    await receiver.stop()
  })
}

test('clocks a little apart: received_at never runs backwards in an association', options, async () => {
  const receivers = await Promise.all([receiverAhead(2), receiverAhead(-2), receiverAhead(0)])
  for (let n = 0; n < 30; n++) {
    const response = await receivers[n % 3]?.post(scn01({ narrative: `${n}` }))
    assert.equal(response?.status, 201)
  }
  const rows = await server.sql('SELECT line FROM civic.record ORDER BY sequence')
  const times = rows.map(({ line }) => JSON.parse(String(line)).receipt.received_at as string)
  assert.equal(times.length, 30)
  assert.deepEqual(times, [...times].sort())
  await Promise.all(receivers.map((receiver) => receiver.stop()))
})
