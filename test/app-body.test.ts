/** When the app reads the body of a request, how much of it, and which encodings it accepts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AppDeps } from '../src/http/app.ts'
import { type Body, type BodyLimits, readBody, tooMany } from '../src/http/body.ts'
import { smallBody } from '../src/http/weight.ts'
import { appWith, countedBody, problemOf, type SentRequest, send, storesAll } from './app.ts'
import { token, vs01, wrongToken } from './receiver.ts'

test('reads no byte of the body of a request that its head already refuses', async () => {
  const paused = { closed: () => ({ kind: 'paused', reason: 'a move' }) as const }
  const refusals: [SentRequest, Partial<AppDeps>, number][] = [
    [{ path: '/elsewhere' }, {}, 404],
    [{ method: 'PUT' }, {}, 405],
    [{ headers: { 'x-node-token': wrongToken } }, {}, 401],
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

test('asks for the body once, after the head was accepted', async () => {
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

test('takes identity as no encoding, and no other', async () => {
  for (const [encoding, status] of [
    ['identity', 201],
    ['Identity', 201],
    ['', 201],
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

test('says in the refusal of an empty body that PHP posts one when json_encode has failed', async () => {
  for (const body of ['', undefined]) {
    const response = await send(appWith(), { body })
    assert.equal(response.status, 400)
    assert.match(String((await problemOf(response)).detail), /json_encode returned false/)
  }
})

test('reads more than 64 KiB only when there is room for as many bytes, and asks for nothing less', async () => {
  const asked: number[] = []
  let begun = 0
  const limits = (hasRoom: boolean): BodyLimits => ({
    maxBytes: 1_000_000,
    until: performance.now() + 600_000,
    admit: async (bytes) => {
      asked.push(bytes)
      return hasRoom
    },
    beforeBody: () => void begun++,
  })
  const read = (size: number, isDeclared: boolean, hasRoom: boolean): Promise<Body> => {
    const { stream } = countedBody(['x'.repeat(10), 'x'.repeat(size - 10)])
    const headers = isDeclared ? { 'content-length': String(size) } : {}
    const init = { method: 'POST', body: stream, duplex: 'half', headers }
    return readBody(new Request('http://x/', init as RequestInit), limits(hasRoom))
  }
  for (const isDeclared of [true, false]) {
    assert.equal((await read(smallBody, isDeclared, false)).ok, true)
    assert.deepEqual(asked.splice(0), [])
    begun = 0
    assert.deepEqual(await read(smallBody + 1, isDeclared, false), { ok: false, refusal: tooMany })
    assert.equal(begun, isDeclared ? 0 : 1)
    assert.deepEqual(asked.splice(0), [isDeclared ? smallBody + 1 : 1_000_000])
    const all = await read(smallBody + 1, isDeclared, true)
    assert.equal(all.ok && all.bytes.length, smallBody + 1)
    assert.equal(asked.splice(0).length, 1)
  }
})
