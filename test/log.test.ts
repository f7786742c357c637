/** All output of a whole run, with every kind of request in it: one line each, and nothing that anybody confided. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { scn01, startReceiver, token, vs01 } from './receiver.ts'
import { head, request, wire } from './wire.ts'

const previous = 'previous-token-'.padEnd(40, 'p')
const wrong = 'wrong-token-'.padEnd(40, 'w')
const bearer = 'bearer-token-'.padEnd(40, 'b')

/** What must be in no line: tokens, participants, contents, and what stood in the place of them. */
const confided = [
  token,
  previous,
  wrong,
  bearer,
  'SASE1-22c-at-5sb-8hm-54v',
  '22c',
  '5sb-8hm',
  '54v',
  'roof-leaks-since-march',
  'condominium-confided',
  'pinned-confided',
  'snapshot-confided',
  'unknown-member-confided',
  'bad-slug-confided',
  'query-confided',
  'path-confided',
  'trailer-confided',
  'nonsense-confided',
  'request-id confided',
  'agent-confided',
]

test('the output of a whole run holds one line per request, and no token, participant or content', async () => {
  const receiver = await startReceiver({ NODE_TOKEN_PREVIOUS: previous, LOG_LEVEL: 'trace' })
  const own = { narrative: 'roof-leaks-since-march', pinned_scenario_ids: ['pinned-confided'] }
  const snapshots = { vs_snapshot: { a: 'snapshot-confided' }, dsc_snapshot: { b: 'snapshot-confided' } }
  const scenario = scn01({ ...own, ...snapshots, 'unknown-member-confided': 'unknown-member-confided' })
  const signs = vs01({ fields: { ho_claimed_type: 'condominium-confided' } })
  const ids: string[] = []
  const answered = async (status: number, sent: string | Uint8Array, hasId = true) => {
    const line = await wire(receiver.url)
    const id = `visit-${ids.length}`
    const withId =
      typeof sent === 'string' && hasId ? sent.replace('\r\n', `\r\nx-request-id: ${id}\r\n`) : sent
    line.send(withId)
    const answer = await line.answer()
    assert.equal(answer.status, status, answer.body)
    // a pointer names a key that was sent; nothing else does
    const body = answer.body.replace(/"pointer":"[^"]*"/g, '')
    const shown = `${Object.values(answer.headers).join('\n')}\n${body}`
    // a receipt names its participant; a refusal repeats nothing
    for (const secret of status < 300 ? [token, 'confided'] : confided) {
      assert.ok(!shown.includes(secret), `${secret} in ${shown}`)
    }
    ids.push(answer.headers['x-request-id'] as string)
    line.socket.destroy()
  }
  const agent = { 'user-agent': 'agent-confided', cookie: 'agent-confided' }

  await answered(201, request(scenario, agent))
  await answered(200, request(scenario, { 'x-node-token': previous }))
  await answered(201, request(signs))
  await answered(200, request(signs, {}, 'POST /receive?query-confided HTTP/1.1'))
  await answered(401, request(scenario, { 'x-node-token': wrong }))
  await answered(401, request(scenario, { 'x-node-token': null, authorization: `Bearer ${bearer}` }))
  await answered(404, request(scenario, {}, 'POST /path-confided HTTP/1.1'))
  await answered(405, request(scenario, {}, 'PUT /receive HTTP/1.1'))
  await answered(415, request(scenario, { 'content-encoding': 'gzip' }))
  await answered(413, head({ 'content-length': 2_000_000 }))
  await answered(400, request('roof-leaks-since-march'))
  await answered(400, request('{"roof-leaks-since-march":1,"roof-leaks-since-march":2}'))
  await answered(400, request(''))
  await answered(400, Buffer.from(`${head({ 'content-length': 3 })}"\xff"`, 'latin1'), false)
  await answered(422, request({ ...scenario, association_slug: '../bad-slug-confided' }))
  await answered(422, request({ ...scenario, addon: 'roof-leaks-since-march' }))
  await answered(422, request({ ...scenario, receipt: 'roof-leaks-since-march' }))
  await answered(422, request(JSON.stringify(signs).replace('"condominium-confided"', '1e999')))
  await answered(417, request(scenario, { expect: 'nonsense-confided' }))
  await answered(400, request(scenario, { host: 'nonsense-confided/x' }))
  await answered(400, 'nonsense-confided\r\n\r\n', false)
  await answered(400, `${head({ 'transfer-encoding': 'chunked' })}nonsense-confided\r\n`)
  await answered(431, head({ filler: 'roof-leaks-since-march'.repeat(1000) }), false)
  await answered(
    422,
    `${head({ 'transfer-encoding': 'chunked' })}2\r\n{}\r\n0\r\nx: trailer-confided\r\n\r\n`,
  )
  await answered(404, head({ 'x-request-id': 'request-id confided' }, 'GET /nowhere HTTP/1.1'), false)
  writeFileSync(join(receiver.dataDir, '.paused'), 'moving\n')
  await answered(503, request(scenario))
  rmSync(join(receiver.dataDir, '.paused'))

  // cut off: no answer to look at, but a line
  const aborted = await wire(receiver.url)
  aborted.send(request(scenario, { 'x-request-id': 'cut-off' }).slice(0, -40))
  await delay(100)
  aborted.socket.destroy()
  ids.push('cut-off')
  await delay(200)

  // damaged, so that a person is called for
  await receiver.stop()
  const path = join(receiver.dataDir, 'scn01/heron-ridge/records.json')
  writeFileSync(path, readFileSync(path, 'utf8').replace('march', 'April'))
  const again = await startReceiver({ DATA_DIR: receiver.dataDir, LOG_LEVEL: 'trace' })
  const refused = await again.post(scn01({ ...own, narrative: 'roof-leaks-since-march, still' }), {
    'x-request-id': 'damaged',
  })
  assert.equal(refused.status, 503)
  ids.push('damaged')
  await again.stop()

  const output = receiver.output() + again.output()
  for (const secret of confided) assert.ok(!output.includes(secret), `${secret} in the output`)
  const lines = output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const requests = lines.filter(({ msg }) => msg === 'request')
  assert.deepEqual(requests.map(({ request_id }) => request_id).sort(), [...ids].sort())
  for (const line of requests) {
    const {
      level,
      time,
      pid,
      request_id,
      status,
      outcome,
      bytes,
      addon,
      association,
      violations,
      ms,
      msg,
      ...more
    } = line
    assert.deepEqual(more, {})
    assert.deepEqual(
      [level, msg, typeof pid, typeof request_id, typeof status],
      [30, 'request', 'number', 'string', 'number'],
    )
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.match(outcome, /^[a-z-]+$/)
    assert.ok(typeof ms === 'number' && ms >= 0 && ms < 10_000)
    assert.equal(addon === undefined, association === undefined)
    if (status < 300) {
      assert.ok(bytes > 200 && ['vs01', 'scn01'].includes(addon) && association === 'heron-ridge')
    }
    assert.equal(violations !== undefined, outcome === 'bad-envelope')
  }
  assert.equal(lines.filter(({ level }) => level === 60).length, 1)
})
