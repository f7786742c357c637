/** Which requests the app accepts: the order of its refusals, tokens, paths, methods, request ids, the number of requests at a time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AcceptedRecord, Outcome, RecordStore } from '../contracts/record.ts'
import type { AppDeps } from '../src/http/app.ts'
import {
  appWith,
  countedBody,
  faulty,
  previousToken,
  problemOf,
  receipt,
  type SentRequest,
  send,
  storesAll,
} from './app.ts'
import { sha256 } from './disk.ts'
import { scn01, token, vs01, wrongToken } from './receiver.ts'

test('refuses in the order of the contract: a request that is wrong in all later ways gets the first answer', async () => {
  const tooLong = 'x'.repeat(2000)
  // Each step corrects one mistake of the request before it. The last request is right.
  const right: SentRequest = { body: vs01() }
  const badEnvelope: SentRequest = { ...right, body: { addon: 'vs01' } }
  const badJson: SentRequest = { ...right, body: '{"addon":"vs02","addon":"vs02"}' }
  const longStream: SentRequest = { ...right, body: countedBody([tooLong]).stream }
  const longDeclared: SentRequest = { ...right, body: tooLong, headers: { 'content-length': '2000' } }
  const encoded: SentRequest = {
    ...longDeclared,
    headers: { 'content-length': '2000', 'content-encoding': 'gzip' },
  }
  const untrusted: SentRequest = { ...encoded, headers: { ...encoded.headers, 'x-node-token': wrongToken } }
  const wrongMethod: SentRequest = { ...untrusted, method: 'PUT' }
  const nowhere: SentRequest = { ...wrongMethod, path: '/received' }

  const closed = { store: faulty('io'), maxInFlight: 0, closed: () => ({ kind: 'draining' }) as const }
  const full = { store: faulty('io'), maxInFlight: 0 }
  const failing = { store: faulty('io') }
  const steps: [SentRequest, Partial<AppDeps>, number, string][] = [
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

test('answers a missing and a wrong token in the same words, except for the request id', async () => {
  const answers = []
  for (const headers of [
    { 'x-node-token': wrongToken },
    { 'x-node-token': '' },
    { 'x-node-token': token.slice(1) },
    { 'x-node-token': `${token}t` },
    { 'x-node-token': token.toUpperCase() },
    { 'x-node-token': `${token}, ${token}` },
    { 'x-node-token': '', authorization: `Bearer ${token}` },
    { 'x-node-token': wrongToken, authorization: `Bearer ${token}` },
  ] as Record<string, string>[]) {
    answers.push(await send(appWith(), { headers, body: vs01() }))
  }
  for (const authorization of [
    undefined,
    '',
    'Bearer',
    `Bearer ${wrongToken}`,
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
  for (const presented of [token, previousToken]) {
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

test('records the hash of the token that was presented, also of the previous one', async () => {
  for (const presented of [token, previousToken]) {
    const records: AcceptedRecord[] = []
    const store: RecordStore = {
      put: async (record) => {
        records.push(record)
        return { ok: true, receipt }
      },
    }
    await send(appWith({ store }), { headers: { 'x-node-token': presented }, body: scn01() })
    assert.deepEqual(records[0]?.unhashed, [['node_token_hash', sha256(presented)]])
  }
})

test('never redirects: /receive and /receive/ are the same endpoint, and no other path is', async () => {
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

test('accepts only so many requests at a time, and the next one as soon as one is answered', async () => {
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
