/** The answers and log lines of the app: receipts, warnings, violations, faults of the storage, health and readiness. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Receipt, RecordStore } from '../contracts/record.ts'
import type { App, Platform } from '../src/http/app.ts'
import { appWith, faulty, problemOf, receipt, send, storesAll } from './app.ts'
import { scn01, token, vs01, wrongToken } from './receiver.ts'

test('writes one line per request, with the id of the answer and what it was about', async () => {
  const app = appWith({ store: storesAll })
  const body = JSON.stringify(vs01())
  const stored = await send(app, { body, headers: { 'x-request-id': 'first' } })
  assert.equal(stored.status, 201)
  await send(app, { body: { addon: 'vs01', contract_version: '1.0' } })
  await send(app, { headers: { 'x-node-token': wrongToken } })

  const [first, second, third] = app.lines
  assert.equal(app.lines.length, 3)
  const { ms, ...rest } = first!
  assert.ok(typeof ms === 'number' && ms >= 0)
  assert.deepEqual(rest, {
    message: 'request',
    request_id: 'first',
    status: 201,
    outcome: 'created',
    addon: 'vs01',
    association: 'heron-ridge',
    bytes: body.length,
  })
  assert.equal(second!.outcome, 'bad-envelope')
  assert.equal(second!.violations, 6)
  assert.equal(third!.outcome, 'wrong-token')
})

test('the log names the addon of a refused envelope and members of its contract, and no name that the sender made up', async () => {
  const app = appWith()
  const madeUp = 'zz-made-up'
  const lineOf = async (body: unknown) => {
    await send(app, { body })
    const { outcome, addon, pointers } = app.lines.at(-1) as Record<string, unknown>
    return { outcome, addon, pointers }
  }
  const refused = { outcome: 'bad-envelope' }
  assert.deepEqual(await lineOf(vs01({ standing: madeUp, fields: {}, [madeUp]: 1 })), {
    ...refused,
    addon: 'vs01',
    pointers: ['/standing', '/fields'],
  })
  assert.deepEqual(await lineOf(vs01({ addon: madeUp, standing: madeUp })), {
    ...refused,
    addon: undefined,
    pointers: ['/addon'],
  })
  const text = JSON.stringify(vs01())
  const [number, inside, twice] = [
    text.replace('{', `{"${madeUp}":1e999,`),
    text.replace('"fields":{', `"fields":{"${madeUp}":1e999,`),
    text.replace('{', `{"${madeUp}":1,"${madeUp}":2,"standing":"participant",`),
  ]
  assert.deepEqual(await lineOf(number), { ...refused, addon: 'vs01', pointers: [] })
  assert.deepEqual(await lineOf(inside), { ...refused, addon: 'vs01', pointers: ['/fields'] })
  assert.deepEqual(await lineOf(twice), { outcome: 'bad-json', addon: 'vs01', pointers: ['/standing'] })
  assert.deepEqual(await lineOf('{'), { outcome: 'bad-json', addon: undefined, pointers: [] })
  assert.ok(!JSON.stringify(app.lines).includes(madeUp))
})

test('answers a failure of the storage with a status, and says when to try again', async () => {
  for (const [fault, status, name, seconds] of [
    ['full', 507, 'disk-full', '60'],
    ['busy', 503, 'storage-busy', '2'],
    ['reading', 503, 'storage-busy', '10'],
    ['io', 503, 'storage-failure', '10'],
    ['files', 503, 'too-many-open-files', '10'],
    ['damaged', 503, 'records-refused', '300'],
  ] as const) {
    const response = await send(appWith({ store: faulty(fault) }), { body: vs01() })
    assert.equal(response.status, status)
    assert.equal(response.headers.get('retry-after'), seconds)
    assert.equal((await problemOf(response)).name, name)
  }
})

test('says why it is closed, and when to come back', async () => {
  const paused = { closed: () => ({ kind: 'paused', reason: 'the disk is being moved' }) as const }
  const pause = await send(appWith(paused), { body: vs01() })
  assert.equal(pause.headers.get('retry-after'), '60')
  assert.match(String((await problemOf(pause)).detail), /the disk is being moved/)

  const draining = { closed: () => ({ kind: 'draining' }) as const }
  const drain = await send(appWith(draining), { body: vs01() })
  assert.equal(drain.headers.get('retry-after'), '2')
  assert.equal((await problemOf(drain)).name, 'draining')
})

test('never shows the message of an internal error, neither to the caller nor in the log', async () => {
  const app = appWith({ store: { put: () => Promise.reject(new Error(`secret ${token}`)) } })
  const response = await send(app, { body: vs01(), headers: { 'x-request-id': 'mine' } })
  assert.equal(response.status, 500)
  assert.equal((await problemOf(response)).name, 'internal')
  assert.doesNotMatch(JSON.stringify(app.lines), /secret|test-token/)
  assert.ok(app.lines.every(({ request_id }) => request_id === 'mine'))
  assert.equal(app.lines.filter(({ message }) => message === 'request').length, 1)
})

test('answers a stored envelope with its receipt, word for word as the contract has it', async () => {
  const chain = {
    id: 'a'.repeat(64),
    sequence: 7,
    record_sha256: 'b'.repeat(64),
    previous_sha256: 'c'.repeat(64),
  }
  for (const [outcome, status] of [
    ['created', 201],
    ['appended', 201],
    ['replaced', 200],
    ['duplicate', 200],
  ] as const) {
    const isAppend = outcome === 'appended' || outcome === 'duplicate'
    const now = { submitted_at: new Date().toISOString() }
    const envelope = isAppend ? scn01(now) : vs01(now)
    const given: Receipt = { outcome, received_at: receipt.received_at, ...(isAppend ? chain : {}) }
    const store: RecordStore = { put: async () => ({ ok: true, receipt: given }) }
    const response = await send(appWith({ store }), { body: envelope })
    assert.equal(response.status, status)
    assert.equal(response.headers.get('content-type'), 'application/json')
    assert.equal(
      await response.text(),
      JSON.stringify({
        status: 'stored',
        outcome,
        addon: envelope.addon,
        association_slug: 'heron-ridge',
        participant_id: 'SASE1-22c-at-5sb-8hm-54v',
        received_at: receipt.received_at,
        ...(isAppend ? chain : {}),
      }),
    )
  }
})

test('lists warnings only when there are any', async () => {
  const envelope = scn01({ submitted_at: new Date().toISOString(), g1_tx_hash: 'not a hash', mood: 'x' })
  const response = await send(appWith({ store: storesAll }), { body: envelope })
  const { warnings } = await response.json()
  assert.deepEqual(warnings.map(({ pointer }: { pointer: string }) => pointer).sort(), [
    '/g1_tx_hash',
    '/mood',
  ])
})

test('reports all violations at once, each with its place, and repeats no value that was sent', async () => {
  const sent = {
    ...scn01(),
    association_slug: '../secret-slug',
    participant_id: 'secret participant',
    narrative: ['secret narrative'],
    vs_snapshot: ['secret snapshot'],
    standing: 'secret-standing',
    deep: { number: 2 ** 53 },
  }
  const response = await send(appWith(), { body: sent })
  assert.equal(response.status, 422)
  const text = await response.clone().text()
  assert.doesNotMatch(text, /secret|9007199254740992/)
  const { errors } = (await problemOf(response)) as { errors: { pointer: string; detail: string }[] }
  assert.deepEqual(errors.map(({ pointer }) => pointer).sort(), [
    '/association_slug',
    '/deep/number',
    '/narrative',
    '/participant_id',
    '/standing',
    '/vs_snapshot',
  ])
})

const noRoom = { kind: 'disk-full', text: 'no room' }

test('is healthy whenever it answers, and ready when it can store', async () => {
  const closed = appWith({
    closed: () => ({ kind: 'paused', reason: 'x' }),
    readiness: async () => ({ reasons: [noRoom], refused: [] }),
  })
  assert.deepEqual(await (await send(closed, { path: '/health', method: 'GET' })).json(), { status: 'ok' })

  const open = appWith({ readiness: async () => ({ reasons: [], refused: ['scn01/elm-court'] }) })
  const ready = await send(open, { path: '/ready', method: 'GET' })
  assert.equal(ready.status, 200)
  assert.equal(ready.headers.get('cache-control'), 'no-store')
  const { status, refused_associations } = await ready.json()
  assert.deepEqual([status, refused_associations], ['ready', ['scn01/elm-court']])

  const not = await send(closed, { path: '/ready', method: 'GET' })
  assert.equal(not.status, 503)
  assert.equal(not.headers.get('retry-after'), '10')
  assert.deepEqual((await problemOf(not)).reasons, ['paused: x', 'no room'])
})

test('shows reasons, names and metrics to a caller with the token or on this machine, and to no stranger', async () => {
  const metrics = { contentType: 'text/plain', text: async () => 'figures', answered() {} }
  const ready = { reasons: [], refused: ['scn01/elm-court'] }
  const [open, shut] = [
    appWith({ metrics, readiness: async () => ready }),
    appWith({ metrics, readiness: async () => ({ ...ready, reasons: [noRoom] }) }),
  ]
  const ask = (app: App, path: string, headers: Record<string, string> = {}, platform: Platform = {}) =>
    app.request(path, { headers }, platform)
  for (const [headers, platform] of [
    [{}, {}],
    [{ 'x-node-token': wrongToken }, { isLocal: () => false }],
  ] as const) {
    const told = await ask(open, '/ready', headers, platform)
    assert.deepEqual([told.status, await told.text()], [200, '{"status":"ready"}'])
    const refused = await ask(shut, '/ready', headers, platform)
    assert.equal(refused.status, 503)
    assert.equal((await problemOf(refused)).reasons, undefined)
    assert.equal((await ask(open, '/metrics', headers, platform)).status, 404)
    assert.equal((await open.request('/metrics', { method: 'PUT', headers }, platform)).status, 404)
  }
  for (const [headers, platform] of [
    [{ 'x-node-token': token }, {}],
    [{ authorization: `Bearer ${token}` }, { isLocal: () => false }],
    [{}, { isLocal: () => true }],
  ] as const) {
    assert.match(await (await ask(open, '/ready', headers, platform)).text(), /elm-court/)
    assert.deepEqual((await problemOf(await ask(shut, '/ready', headers, platform))).reasons, ['no room'])
    assert.equal(await (await ask(open, '/metrics', headers, platform)).text(), 'figures')
  }
})

test('keeps its answer small, whatever a megabyte holds', async () => {
  const app = appWith({ maxBodyBytes: 2_000_000 })
  const long = 'k'.repeat(500_000)
  const many = 100_000
  for (const [what, text] of [
    ['twice the same key', `{${Array.from({ length: many }, () => '"a":1').join()}}`],
    ['numbers that change', `{"a":[${Array.from({ length: many }, () => '1e999').join()}]}`],
    ['the same below a long key', `{"${long}":[${Array.from({ length: many }, () => '1e999').join()}]}`],
    ['half pairs', `{"a":[${Array.from({ length: many }, () => '"\\ud800"').join()}]}`],
    ['backslashes', `{"a":"${'\\\\'.repeat(500_000)}"}`],
    ['quotes', `{"a":"${'\\"'.repeat(500_000)}"}`],
    ['digits', `{"a":${'1'.repeat(1_000_000)}}`],
    ['a long exponent', `{"a":1e${'9'.repeat(1_000_000)}}`],
    ['bad pins', JSON.stringify(scn01({ pinned_scenario_ids: Array.from({ length: many }, (_, n) => n) }))],
    ['keys', `{${Array.from({ length: many }, (_, n) => `"${n}":1`).join()}}`],
  ] as const) {
    const response = await send(app, { body: text })
    assert.ok([400, 422].includes(response.status), what)
    const { length } = await response.text()
    assert.ok(length < 200_000, `${what}: ${length} characters`)
  }
})
