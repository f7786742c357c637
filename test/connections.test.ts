/** The list of open connections: invariants 1 to 4 of src/server/connections.ts, with real sockets and a real receiver. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Hono } from 'hono'
import type { Platform } from '../src/http/app.ts'
import { createHttpServer } from '../src/server/http-server.ts'
import { scn01, startReceiver, token, vs01 } from './receiver.ts'
import { head, request, wire } from './wire.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

async function listening({
  isKnown = false,
  most = 100,
} = {}): Promise<ReturnType<typeof createHttpServer>['server']> {
  const app = new Hono<{ Bindings: Platform }>().get('/', (c) => {
    if (c.env.visit) c.env.visit.isKnown = isKnown
    return c.text('here')
  })
  const { server } = createHttpServer(app, () => {}, most)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const plain = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
const body = JSON.stringify(vs01())

test('a connection that is kept alive does not keep the requests that it has brought', async () => {
  const server = await listening({ isKnown: true })
  const seen: WeakRef<IncomingMessage>[] = []
  server.prependListener('request', (incoming) => seen.push(new WeakRef(incoming)))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  try {
    for (let sent = 0; sent < 20; sent++) {
      socket.write(plain)
      await once(socket, 'data')
    }
    await new Promise(setImmediate)
    collectGarbage()
    const kept = seen.filter((incoming) => incoming.deref() !== undefined)
    assert.equal(seen.length, 20)
    assert.ok(kept.length <= 3, `${kept.length} of 20 are still there`)
  } finally {
    socket.destroy()
    server.close()
  }
})

test('bytes that are no request are answered at once on a connection that had a request', {
  timeout: 10_000,
}, async () => {
  const server = await listening({ isKnown: true })
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  try {
    socket.write(plain)
    assert.match(String(await once(socket, 'data')), /^HTTP\/1\.1 200 /)
    await new Promise(setImmediate)
    socket.write('nonsense\r\n\r\n')
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(3_000) })
    assert.match(String(answer), /^HTTP\/1\.1 400 /)
  } finally {
    socket.destroy()
    server.close()
  }
})

test('a connection that has ended is forgotten', async () => {
  const server = await listening()
  const seen: WeakRef<Socket>[] = []
  server.prependListener('connection', (socket) => seen.push(new WeakRef(socket)))
  try {
    for (let made = 0; made < 20; made++) {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
      socket.write(plain)
      await once(socket, 'data')
      socket.destroy()
    }
    await sleep(200)
    collectGarbage()
    const kept = seen.filter((socket) => socket.deref() !== undefined)
    assert.equal(seen.length, 20)
    assert.ok(kept.length <= 3, `${kept.length} of 20 are still there`)
  } finally {
    server.close()
  }
})

test('connections (2): a stranger has one request, and the holder of the token has many', async () => {
  const receiver = await startReceiver()
  const stranger = await wire(receiver.url)
  const twice = head({ 'x-node-token': null }, 'GET /nowhere HTTP/1.1').repeat(2)
  stranger.send(twice)
  assert.equal((await stranger.answer()).status, 404)
  assert.equal(await stranger.closed(), '', 'the second one is not answered')
  const holder = await wire(receiver.url)
  holder.send(request(vs01()).repeat(3))
  for (const status of [201, 200, 200]) assert.equal((await holder.answer()).status, status)
  holder.socket.destroy()
  await receiver.stop()
})

test('connections (2): the receiver does not read from a held stranger, however much it has sent', async () => {
  const server = await listening()
  const [accepted, socket] = await Promise.all([
    once(server, 'connection').then(([each]) => each as Socket),
    Promise.resolve(connect((server.address() as AddressInfo).port, '127.0.0.1')),
  ])
  try {
    socket.on('error', () => {})
    socket.resume()
    const many = plain.repeat(1_000)
    for (let n = 0; n < 100; n++) socket.write(many)
    await once(accepted, 'close')
    assert.ok(accepted.bytesRead < 1_000_000, `${accepted.bytesRead} of ${100 * many.length} bytes were read`)
  } finally {
    socket.destroy()
    server.close()
  }
})

test('connections (3): bytes after the refusal of a stranger are not read for long', async () => {
  const receiver = await startReceiver()
  const line = await wire(receiver.url)
  line.send(head({ 'x-node-token': 'wrong', 'content-length': 64 * 1024 * 1024 }))
  assert.equal((await line.answer()).status, 401)
  const mebibyte = Buffer.alloc(1024 * 1024)
  for (let n = 0; n < 64; n++) line.send(mebibyte)
  await line.closed()
  const { bytesWritten, writableLength } = line.socket
  assert.ok(bytesWritten - writableLength < 32 * 1024 * 1024, `${bytesWritten} were taken`)
  await receiver.stop()
})

test('connections (3): a held connection is ended when its sender ends it', async (t) => {
  // The clock stands still, so that the connection is not ended because of its age.
  t.mock.timers.enable({ apis: ['setInterval'] })
  const server = await listening()
  try {
    const accepted = once(server, 'connection').then(([each]) => each as Socket)
    const line = await wire(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    line.send(plain)
    assert.equal((await line.answer()).headers.connection, 'close')
    line.socket.end()
    assert.equal(await line.closed(), '')
    assert.ok((await accepted).destroyed || (await once(await accepted, 'close')))
  } finally {
    server.close()
  }
})

test('connections (4) (5): a held connection goes first, and is told nothing more', async () => {
  const server = await listening({ most: 2 })
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const idle = await wire(url)
    const held = await wire(url)
    held.send(plain)
    assert.equal((await held.answer()).status, 200)
    const another = await wire(url)
    assert.equal(await held.closed(), '')
    for (const line of [idle, another]) {
      line.send(plain)
      assert.equal((await line.answer()).status, 200)
      line.socket.destroy()
    }
  } finally {
    server.close()
  }
})

test('a head of more than 100 lines is refused, whoever sends it', async () => {
  const receiver = await startReceiver()
  const lines = (n: number): string[] => Array.from({ length: n }, () => 'x')
  for (const [n, status] of [
    [97, 201],
    [98, 431],
    [1_500, 431],
  ] as const) {
    const line = await wire(receiver.url)
    // These lines come in addition to Content-Length, Host and the token.
    line.send(head({ 'content-length': body.length, a: lines(n) }) + body)
    assert.equal((await line.answer()).status, status, `${n}`)
    line.socket.destroy()
  }
  await receiver.stop()
})

test('a client that half-closes after its request gets its answer, and the connection of one that is idle is closed', async () => {
  const receiver = await startReceiver()
  const line = await wire(receiver.url)
  line.socket.end(request(scn01()))
  assert.equal((await line.answer()).status, 201)
  assert.equal(await line.closed(), '')
  const idle = await wire(receiver.url)
  idle.send(request(vs01()))
  await idle.answer()
  idle.socket.end()
  assert.equal(await idle.closed(), '')
  await receiver.stop()
})

test('a flood of refusals has ten lines a second of its own and a number for the rest', async () => {
  const receiver = await startReceiver({ METRICS: '1' })
  const asked = 500
  for (let n = 0; n < asked; n++) await receiver.post(vs01(), { 'x-node-token': 'wrong' })
  const counted = await (await fetch(`${receiver.url}/metrics`)).text()
  assert.match(counted, new RegExp(`civic_requests_total\\{.*outcome="wrong-token".*\\} ${asked}`))
  await receiver.stop()
  const told = receiver
    .output()
    .split('\n')
    .filter((line) => line.includes('"outcome":"wrong-token"'))
    .map((line) => JSON.parse(line) as { more?: number })
  const more = told.flatMap((line) => line.more ?? [])
  assert.equal(told.length - more.length + more.reduce((sum, n) => sum + n, 0), asked)
  assert.ok(told.length < asked / 2, `${told.length} lines`)
})

test('a caller through a proxy on this machine is a stranger, and the machine itself is not', async () => {
  const receiver = await startReceiver({ METRICS: '1' })
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${receiver.url}${path}`, { headers })
  assert.match(await (await ask('/ready')).text(), /refused_associations/)
  assert.equal((await ask('/metrics')).status, 200)
  for (const name of ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via']) {
    assert.equal(await (await ask('/ready', { [name]: 'x' })).text(), '{"status":"ready"}', name)
    assert.equal((await ask('/metrics', { [name]: 'x' })).status, 404, name)
    const known = await ask('/ready', { [name]: 'x', 'x-node-token': token })
    assert.match(await known.text(), /refused_associations/, name)
  }
  await receiver.stop()
})
