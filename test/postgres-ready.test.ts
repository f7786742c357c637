/** What `/ready` and the metrics say about the standby, and that nothing is stored without one when REQUIRE_STANDBY=1 is set. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { attachStandby, type Server, until, withoutServer } from './postgres/cluster.ts'
import { preparedServer } from './postgres/prepared.ts'
import { type Receiver, scn01, startReceiver, vs01 } from './receiver.ts'

const options = { skip: withoutServer }
let server: Server
let standby: Server | undefined

before(async () => {
  if (!withoutServer) server = await preparedServer()
})
after(async () => {
  await standby?.kill()
  await server?.kill()
})

type Ready = { status: number; reasons?: string[]; notes?: string[] }

async function readyOf({ url }: Receiver): Promise<Ready> {
  const response = await fetch(`${url}/ready`)
  const { reasons, notes } = (await response.json()) as Ready
  return { status: response.status, ...(reasons && { reasons }), ...(notes && { notes }) }
}

async function standbysOf({ url }: Receiver): Promise<string | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return /^civic_database_standbys (.*)$/m.exec(text)?.[1]
}

const start = (requireStandby: '0' | '1') =>
  startReceiver({ DATABASE_URL: server.url(), REQUIRE_STANDBY: requireStandby, METRICS: '1' })

test('without a standby it stores and says so; REQUIRE_STANDBY=1 refuses each post', options, async () => {
  const [lenient, strict] = await Promise.all([start('0'), start('1')])
  assert.deepEqual(await readyOf(lenient), {
    status: 200,
    notes: ['commits wait for no standby: records are on one disk'],
  })
  assert.equal(await standbysOf(lenient), '0')
  assert.equal((await lenient.post(scn01())).status, 201)
  assert.deepEqual(await readyOf(strict), {
    status: 503,
    reasons: ['synchronous_standby_names is empty, and REQUIRE_STANDBY is set'],
  })
  // The second envelope is stored already, and gets no receipt either.
  for (const envelope of [vs01(), scn01()]) {
    const response = await strict.post(envelope)
    assert.equal(response.status, 503)
    assert.match(((await response.json()) as { type: string }).type, /:storage-failure$/)
  }
  await Promise.all([lenient.stop(), strict.stop()])
})

test('with a standby both receivers store; when it is gone, /ready says so', options, async () => {
  const attached = await attachStandby(server)
  standby = attached
  const [lenient, strict] = await Promise.all([start('0'), start('1')])
  for (const receiver of [lenient, strict]) {
    assert.deepEqual(await readyOf(receiver), { status: 200, notes: ['synchronous standbys attached: 1'] })
    assert.equal(await standbysOf(receiver), '1')
    assert.ok((await receiver.post(scn01({ narrative: 'with a standby' }))).ok)
  }
  await attached.kill()
  await until(async () => (await standbysOf(strict)) !== '1')
  assert.deepEqual(await readyOf(strict), {
    status: 503,
    reasons: ['no synchronous standby is attached'],
  })
  assert.deepEqual(await readyOf(lenient), { status: 200, notes: ['synchronous standbys attached: 0'] })
  // The second record is stored already, but it may be on one disk only: its receipt waits as well.
  const [response, again] = await Promise.all([
    lenient.post(scn01({ narrative: 'nobody is there to have it' })),
    strict.post(scn01({ narrative: 'with a standby' })),
  ])
  assert.deepEqual([response.status, again.status], [503, 503])
  assert.match(((await response.json()) as { type: string }).type, /:storage-busy$/)
  const { status, reasons } = await readyOf(lenient)
  assert.equal(status, 503)
  assert.match(String(reasons), /^a commit has been waiting for more than 2 s/)
  await Promise.all([lenient.stop('SIGKILL'), strict.stop('SIGKILL')])
})
