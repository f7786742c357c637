/** The app as a pure fetch handler: requests in, responses out, no port, and a store that is an argument. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { contracts } from '../contracts/index.ts'
import type { AcceptedRecord, Fault, Outcome, Receipt, RecordStore } from '../contracts/record.ts'
import { type App, type AppDeps, createApp, type Platform } from '../src/http/app.ts'
import { teller } from '../src/http/tell.ts'
import { tokenCheck } from '../src/server/tokens.ts'
import { scn01, token, vs01 } from './receiver.ts'

const previous = 'previous-token-'.padEnd(40, 'p')
const wrong = 'wrong-token-'.padEnd(40, 'w')

const nothingIsStored: RecordStore = { put: () => assert.fail('nothing may be stored') }
const receipt: Receipt = { outcome: 'created', received_at: '2026-06-15T14:32:01.000Z' }
const storesAll: RecordStore = { put: async () => ({ ok: true, receipt }) }
const faulty = (fault: Fault): RecordStore => ({ put: async () => ({ ok: false, fault }) })

type Line = { readonly message: string } & Readonly<Record<string, unknown>>

function appWith(changes: Partial<AppDeps> = {}): App & { readonly lines: readonly Line[] } {
  const lines: Line[] = []
  const say = (fields: object, message: string) => void lines.push({ ...fields, message })
  const log = { info: say, warn: say, error: say, fatal: say }
  const app = createApp({
    contracts,
    store: nothingIsStored,
    tokens: tokenCheck({ current: token, previous }),
    closed: () => undefined,
    readiness: async () => ({ reasons: [], refused: [] }),
    log,
    tell: teller(log, changes.metrics),
    maxBodyBytes: 1024,
    maxInFlight: 8,
    ...changes,
  })
  return Object.assign(app, { lines })
}

type Sent = { path?: string; method?: string; headers?: Record<string, string>; body?: unknown }

async function send(app: App, { path = '/receive', method = 'POST', headers = {}, body }: Sent = {}) {
  const isRaw = body === undefined || typeof body === 'string' || body instanceof ReadableStream
  return app.request(path, {
    method,
    headers: { 'x-node-token': token, ...headers },
    ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body), duplex: 'half' }),
  } as RequestInit)
}

async function problemOf(response: Response): Promise<Record<string, unknown>> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const { type, title, status, detail, instance, ...more } = await response.json()
  assert.match(type, /^urn:civic-orchestrator:problem:[a-z-]+$/)
  assert.equal(status, response.status)
  for (const text of [title, detail]) assert.ok(typeof text === 'string' && text.length > 10, text)
  assert.equal(instance, response.headers.get('x-request-id'))
  for (const name in more) assert.ok(name === 'errors' || name === 'reasons', name)
  return { name: type.split(':').at(-1), title, detail, ...more }
}

/** A body that counts how often it is asked for a chunk. */
function countedBody(chunks: readonly string[]) {
  const left = [...chunks]
  const counted = { pulled: 0, cancelled: false, stream: undefined as unknown as ReadableStream }
  counted.stream = new ReadableStream(
    {
      pull(controller) {
        counted.pulled++
        const next = left.shift()
        if (next === undefined) controller.close()
        else controller.enqueue(new TextEncoder().encode(next))
      },
      cancel: () => {
        counted.cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return counted
}

test('refuses in the order of the contract: a request that is wrong in all later ways gets the first answer', async () => {
  const tooLong = 'x'.repeat(2000)
  // each step takes one mistake away from the request before it; the last one is right
  const right: Sent = { body: vs01() }
  const badEnvelope: Sent = { ...right, body: { addon: 'vs01' } }
  const badJson: Sent = { ...right, body: '{"addon":"vs02","addon":"vs02"}' }
  const longStream: Sent = { ...right, body: countedBody([tooLong]).stream }
  const longDeclared: Sent = { ...right, body: tooLong, headers: { 'content-length': '2000' } }
  const encoded: Sent = { ...longDeclared, headers: { 'content-length': '2000', 'content-encoding': 'gzip' } }
  const untrusted: Sent = { ...encoded, headers: { ...encoded.headers, 'x-node-token': wrong } }
  const wrongMethod: Sent = { ...untrusted, method: 'PUT' }
  const nowhere: Sent = { ...wrongMethod, path: '/received' }

  const closed = { store: faulty('io'), maxInFlight: 0, closed: () => ({ kind: 'draining' }) as const }
  const full = { store: faulty('io'), maxInFlight: 0 }
  const failing = { store: faulty('io') }
  const steps: [Sent, Partial<AppDeps>, number, string][] = [
    [nowhere, closed, 404, 'not-found'],
    [wrongMethod, closed, 405, 'method-not-allowed'],
    [untrusted, closed, 401, 'wrong-token'],
    [encoded, closed, 503, 'draining'],
    [encoded, full, 503, 'too-many-requests-in-flight'],
    [encoded, failing, 415, 'content-encoding'],
    [longDeclared, failing, 413, 'body-too-large'],
    [longStream, failing, 413, 'body-too-large'],
    [badJson, failing, 400, 'bad-json'],
    [badEnvelope, failing, 422, 'bad-envelope'],
    [right, failing, 503, 'storage-failure'],
  ]
  for (const [sent, deps, status, name] of steps) {
    const response = await send(appWith(deps), sent)
    assert.equal(response.status, status, name)
    assert.equal((await problemOf(response)).name, name)
  }
  assert.equal((await send(appWith({ store: storesAll }), right)).status, 201)
})

test('reads no byte of the body of a request that its head already refuses', async () => {
  const paused = { closed: () => ({ kind: 'paused', reason: 'a move' }) as const }
  const refusals: [Sent, Partial<AppDeps>, number][] = [
    [{ path: '/elsewhere' }, {}, 404],
    [{ method: 'PUT' }, {}, 405],
    [{ headers: { 'x-node-token': wrong } }, {}, 401],
    [{}, paused, 503],
    [{}, { maxInFlight: 0 }, 503],
    [{ headers: { 'content-encoding': 'br' } }, {}, 415],
    [{ headers: { 'content-length': '1025' } }, {}, 413],
  ]
  for (const [sent, deps, status] of refusals) {
    const body = countedBody(['{}'])
    let proceeded = 0
    const request = new Request('http://x/', {
      method: 'POST',
      body: body.stream,
      duplex: 'half',
    } as RequestInit)
    const response = await appWith(deps).request(
      sent.path ?? '/receive',
      {
        method: sent.method ?? 'POST',
        headers: { 'x-node-token': token, ...sent.headers },
        body: request.body,
        duplex: 'half',
      } as RequestInit,
      { beforeBody: () => proceeded++ },
    )
    assert.equal(response.status, status)
    assert.equal(body.pulled, 0, `${status} after reading`)
    assert.equal(proceeded, 0, `${status} after 100 Continue`)
  }
})

test('calls for the body once, after the head was found right', async () => {
  let proceeded = 0
  const body = countedBody([JSON.stringify(vs01())])
  const response = await appWith({ store: storesAll }).request(
    '/receive',
    { method: 'POST', headers: { 'x-node-token': token }, body: body.stream, duplex: 'half' } as RequestInit,
    {
      beforeBody: () => {
        assert.equal(body.pulled, 0)
        proceeded++
      },
    },
  )
  assert.equal(response.status, 201)
  assert.equal(proceeded, 1)
})

test('refuses a body without a declared length as soon as it is over the limit, not at its end', async () => {
  let chunks = 0
  const endless = new ReadableStream({
    pull(controller) {
      if (++chunks > 5) return new Promise(() => {})
      controller.enqueue(new TextEncoder().encode('x'.repeat(300)))
      return undefined
    },
  })
  const response = await send(appWith(), { body: endless })
  assert.equal(response.status, 413)
  assert.match(String((await problemOf(response)).detail), /1024 bytes/)
})

test('reads the rest of a body that was over the limit, so that the connection is free for the next request', async () => {
  const body = countedBody(Array.from({ length: 100 }, () => 'x'.repeat(300)))
  assert.equal((await send(appWith(), { body: body.stream })).status, 413)
  for (let turns = 0; turns < 1_000 && body.pulled <= 100; turns++) await nextTurn()
  assert.equal(body.pulled, 101, 'all of it, and its end')
})

test('takes a body of exactly the limit and refuses one byte more, declared or not', async () => {
  const padded = (size: number) => JSON.stringify(vs01()).padEnd(size, ' ')
  for (const [size, status] of [
    [1024, 201],
    [1025, 413],
  ] as const) {
    for (const headers of [{}, { 'content-length': String(size) }]) {
      const body = countedBody([padded(size).slice(0, 700), padded(size).slice(700)]).stream
      assert.equal((await send(appWith({ store: storesAll }), { body, headers })).status, status)
    }
  }
})

test('answers a missing and a wrong token in the same words, but for the request id', async () => {
  const answers = []
  for (const headers of [
    { 'x-node-token': wrong },
    { 'x-node-token': '' },
    { 'x-node-token': token.slice(1) },
    { 'x-node-token': `${token}t` },
    { 'x-node-token': token.toUpperCase() },
    { 'x-node-token': `${token}, ${token}` },
    { 'x-node-token': '', authorization: `Bearer ${token}` },
    { 'x-node-token': wrong, authorization: `Bearer ${token}` },
  ] as Record<string, string>[]) {
    answers.push(await send(appWith(), { headers, body: vs01() }))
  }
  for (const authorization of [
    undefined,
    '',
    'Bearer',
    `Bearer ${wrong}`,
    `Basic ${token}`,
    `Bearer${token}`,
  ]) {
    answers.push(
      await appWith().request('/receive', {
        method: 'POST',
        headers: authorization === undefined ? {} : { authorization },
        body: JSON.stringify(vs01()),
      }),
    )
  }
  const seen = new Set<string>()
  for (const answer of answers) {
    const id = answer.headers.get('x-request-id')!
    const headers = JSON.stringify([...answer.headers])
    seen.add(`${answer.status} ${headers} ${await answer.text()}`.replaceAll(id, '<id>'))
  }
  assert.equal(seen.size, 1, [...seen].join('\n'))
  const [only = ''] = seen
  assert.match(only, /^401 .*\["www-authenticate","NodeToken realm=\\"civic-orchestrator\\""\]/)
})

test('takes the current and the previous token, in its own header or as a bearer', async () => {
  for (const presented of [token, previous]) {
    for (const headers of [{ 'x-node-token': presented }, { authorization: `bearer ${presented}` }]) {
      const response = await appWith({ store: storesAll }).request('/receive', {
        method: 'POST',
        headers: headers as Record<string, string>,
        body: JSON.stringify(vs01()),
      })
      assert.equal(response.status, 201)
    }
  }
})

test('attests the token that was presented, the previous one too', async () => {
  for (const presented of [token, previous]) {
    const records: AcceptedRecord[] = []
    const store: RecordStore = {
      put: async (record) => {
        records.push(record)
        return { ok: true, receipt }
      },
    }
    await send(appWith({ store }), { headers: { 'x-node-token': presented }, body: scn01() })
    const digest = createHash('sha256').update(presented).digest('hex')
    assert.deepEqual(records[0]?.unhashed, [['node_token_hash', digest]])
  }
})

test('sends nobody elsewhere: /receive and /receive/ are one place, all others are none', async () => {
  const app = appWith({ store: storesAll })
  for (const path of ['/receive', '/receive/', '/receive?from=addon']) {
    assert.equal((await send(app, { path, body: vs01() })).status, 201, path)
  }
  for (const path of [
    '/',
    '/Receive',
    '/receive//',
    '/receive/x',
    '//receive',
    '/receive.json',
    '/health/x',
    '/%',
  ]) {
    const response = await send(app, { path, body: vs01() })
    assert.equal(response.status, 404, path)
    assert.equal(response.headers.get('location'), null)
    assert.equal((await problemOf(response)).name, 'not-found')
  }
})

test('says which method a path takes', async () => {
  for (const [path, allow, methods] of [
    ['/receive', 'POST', ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']],
    ['/receive/', 'POST', ['GET']],
    ['/health', 'GET, HEAD', ['POST', 'PUT', 'OPTIONS']],
    ['/ready', 'GET, HEAD', ['POST', 'DELETE', 'OPTIONS']],
  ] as const) {
    for (const method of methods) {
      const response = await send(appWith(), { path, method })
      assert.equal(response.status, 405, `${method} ${path}`)
      assert.equal(response.headers.get('allow'), allow)
      await problemOf(response)
    }
  }
  const head = await send(appWith(), { method: 'HEAD' })
  assert.equal(head.status, 405)
  assert.equal(await head.text(), '')
})

test('keeps a caller’s request id that is fit for a log, and makes one in place of any other', async () => {
  for (const id of ['a', 'A-b_c.9', 'x'.repeat(64)]) {
    for (const sent of [{ path: '/health', method: 'GET' }, { path: '/nowhere' }, { body: vs01() }]) {
      const app = appWith({ store: storesAll })
      const response = await send(app, { ...sent, headers: { 'x-request-id': id } })
      assert.equal(response.headers.get('x-request-id'), id)
    }
  }
  const made = new Set<string>()
  const unfit = ['', 'x'.repeat(65), 'a b', 'a/b', 'é', 'a,b', 'a~b', '"a"', '{}', token + token]
  for (const id of unfit) {
    const response = await send(appWith(), { path: '/nowhere', headers: { 'x-request-id': id } })
    const own = response.headers.get('x-request-id') as string
    assert.match(own, /^[0-9a-f-]{36}$/)
    assert.equal((await response.json()).instance, own)
    made.add(own)
  }
  assert.equal(made.size, unfit.length)
})

test('writes one line per request, with the id of the answer and what it was about', async () => {
  const app = appWith({ store: storesAll })
  const body = JSON.stringify(vs01())
  const stored = await send(app, { body, headers: { 'x-request-id': 'first' } })
  assert.equal(stored.status, 201)
  await send(app, { body: { addon: 'vs01', contract_version: '1.0' } })
  await send(app, { headers: { 'x-node-token': wrong } })

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

test('answers what storage could not do with a status, and when to try again', async () => {
  for (const [fault, status, name, seconds] of [
    ['full', 507, 'disk-full', '60'],
    ['busy', 503, 'storage-busy', '2'],
    ['io', 503, 'storage-failure', '10'],
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

test('takes only so many requests at a time, and the next one as soon as an answer is out', async () => {
  const waiting: ((outcome: Outcome) => void)[] = []
  const app = appWith({
    maxInFlight: 3,
    store: { put: () => new Promise((resolve) => waiting.push(resolve)) },
  })
  const first = [1, 2, 3].map(() => send(app, { body: vs01() }))
  const fourth = await send(app, { body: vs01() })
  assert.equal(fourth.status, 503)
  assert.equal(fourth.headers.get('retry-after'), '1')
  assert.equal((await problemOf(fourth)).name, 'too-many-requests-in-flight')

  while (waiting.length < 3) await new Promise(setImmediate)
  for (const resolve of waiting) resolve({ ok: true, receipt })
  for (const response of await Promise.all(first)) assert.equal(response.status, 201)

  const fifth = send(app, { body: vs01() })
  while (waiting.length < 4) await new Promise(setImmediate)
  waiting[3]!({ ok: true, receipt })
  assert.equal((await fifth).status, 201)
})

test('counts a refused or failed request as answered', async () => {
  const app = appWith({ maxInFlight: 1, store: { put: () => Promise.reject(new Error('a mistake')) } })
  for (const body of ['{', '{}', 'x'.repeat(2000), '']) {
    assert.notEqual((await send(app, { body })).status, 503)
  }
  assert.equal((await send(app, { body: vs01() })).status, 500)
  assert.equal((await send(app, { body: vs01() })).status, 500)
})

test('never shows what went wrong inside, neither to the caller nor its message to the log', async () => {
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

test('tells of warnings only when there are any', async () => {
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

test('pays no heed to Content-Type', async () => {
  for (const type of [
    'application/x-www-form-urlencoded',
    'text/plain',
    'multipart/form-data; boundary=x',
    '',
  ]) {
    const response = await send(appWith({ store: storesAll }), {
      body: vs01(),
      headers: { 'content-type': type },
    })
    assert.equal(response.status, 201, type)
  }
})

test('takes identity as no encoding, and no other', async () => {
  for (const [encoding, status] of [
    ['identity', 201],
    ['Identity', 201],
    ['gzip', 415],
    ['deflate', 415],
    ['br', 415],
    ['identity, gzip', 415],
  ] as const) {
    const headers = { 'content-encoding': encoding }
    const response = await send(appWith({ store: storesAll }), { body: vs01(), headers })
    assert.equal(response.status, status, encoding)
    if (status === 415) assert.equal(response.headers.get('accept-encoding'), 'identity')
  }
})

test('tells a sender of nothing that this is what PHP posts when it could not encode', async () => {
  for (const body of ['', undefined]) {
    const response = await send(appWith(), { body })
    assert.equal(response.status, 400)
    assert.match(String((await problemOf(response)).detail), /json_encode returned false/)
  }
})

test('is healthy whenever it answers, and ready when it can store', async () => {
  const closed = appWith({
    closed: () => ({ kind: 'paused', reason: 'x' }),
    readiness: async () => ({ reasons: ['no room'], refused: [] }),
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

test('tells reasons, names and metrics to who has the token and to this machine, and to no stranger', async () => {
  const metrics = { contentType: 'text/plain', text: async () => 'figures', answered() {} }
  const ready = { reasons: [], refused: ['scn01/elm-court'] }
  const [open, shut] = [
    appWith({ metrics, readiness: async () => ready }),
    appWith({ metrics, readiness: async () => ({ ...ready, reasons: ['no room'] }) }),
  ]
  const ask = (app: App, path: string, headers: Record<string, string> = {}, platform: Platform = {}) =>
    app.request(path, { headers }, platform)
  for (const [headers, platform] of [
    [{}, {}],
    [{ 'x-node-token': wrong }, { isLocal: () => false }],
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
