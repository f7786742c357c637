/** src/server/slices.ts in a real server. The numbers in the names of tests are those of its header. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { Hono } from 'hono'
import type { Platform } from '../src/http/app.ts'
import { createHttpServer } from '../src/server/http-server.ts'
import { type Receiver, scn01, startReceiver, token, vs01 } from './receiver.ts'
import { chunk, chunked, head, request, wire } from './wire.ts'

let receiver: Receiver
before(async () => {
  receiver = await startReceiver()
})
after(() => receiver.stop())

test('slices (1): a head and a body of any size arrive as they were sent, in pieces of any size', async () => {
  const narrative = 'The roof, ä, 😀.\r\n\r\nPOST / HTTP/1.1\r\n\r\n'.repeat(20_000)
  const body = JSON.stringify(scn01({ narrative }))
  // The token comes last, after other lines that fill more than one slice.
  const length = { 'x-node-token': null, 'content-length': Buffer.byteLength(body) }
  const sent = Buffer.from(
    head({ a: 'x'.repeat(6_000), b: 'y'.repeat(6_000), ...length, 'X-Node-Token': token }) + body,
  )
  for (const [size, status] of [
    [sent.length, 201],
    [4_096, 200],
    [1_021, 200],
  ] as const) {
    const line = await wire(receiver.url)
    for (let at = 0; at < sent.length; at += size) line.send(sent.subarray(at, at + size))
    assert.equal((await line.answer()).status, status, `pieces of ${size}`)
    line.socket.destroy()
  }
})

test('slices (1): a chunked body right behind its head is read whole', async () => {
  const body = JSON.stringify(vs01({ fields: { long: 'z'.repeat(50_000) } }))
  const parts = body.match(/.{1,5000}/g) as string[]
  const line = await wire(receiver.url)
  line.send([head(chunked), ...parts.map((part) => chunk(part)), '0\r\n\r\n'].join(''))
  assert.equal((await line.answer()).status, 201)
  // The next request is handled like any other.
  line.send(request(vs01({ fields: { long: 'z'.repeat(50_000) } })))
  assert.equal((await line.answer()).status, 200)
  line.socket.destroy()
})

test('slices (1): a stranger is refused whole behind a body of more than one slice, and no second request is read', async () => {
  const line = await wire(receiver.url)
  line.send(request(vs01({ fields: { long: 'z'.repeat(40_000) } }), { 'x-node-token': 'wrong' }))
  const answer = await line.answer()
  assert.deepEqual([answer.status, answer.headers.connection], [401, 'close'])
  line.send(request(vs01()))
  assert.equal(await line.closed(), '')
})

/** A connection of a stranger to an app that answers "here". `made` counts the requests that the server made from its bytes. */
async function stranger(): Promise<{ accepted: Socket; socket: Socket; made(): number; end(): void }> {
  const app = new Hono<{ Bindings: Platform }>().get('/', (c) => c.text('here'))
  const { server } = createHttpServer(app, () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  let made = 0
  server.prependListener('request', () => made++)
  const [accepted, socket] = await Promise.all([
    once(server, 'connection').then(([each]) => each as Socket),
    Promise.resolve(connect((server.address() as AddressInfo).port, '127.0.0.1')),
  ])
  socket.on('error', () => {}).resume()
  const end = (): void => {
    socket.destroy()
    server.close()
  }
  return { accepted, socket, made: () => made, end }
}

async function requestsMadeOf(sent: string): Promise<number> {
  const { accepted, socket, made, end } = await stranger()
  socket.write(sent)
  await once(accepted, 'close')
  end()
  return made()
}

test('slices (2) (3): when a stranger sends a thousand requests in one write, the server makes one of them', async () => {
  const get = 'GET / HTTP/1.1\r\n'
  const made = await Promise.all([
    requestsMadeOf(`${get}Host: localhost\r\n\r\n`.repeat(1_000)),
    // The server refuses these requests before the app gets them.
    requestsMadeOf(`${get}\r\n`.repeat(1_000)),
    requestsMadeOf(`${get}Host: localhost\r\n${'a: b\r\n'.repeat(1_500)}\r\n`.repeat(7)),
  ])
  assert.deepEqual(made, [1, 1, 1])
})

test('slices (3): bytes that come on a held connection are not kept', async () => {
  const { accepted, socket, made, end } = await stranger()
  // This request is refused. Its body does not end, so the connection is held while the server reads it.
  socket.write(head(chunked) + chunk('x'))
  while (!accepted.isPaused()) await new Promise(setImmediate)
  const before = accepted.bytesRead
  socket.write(Buffer.alloc(1024 * 1024, 'x'))
  while (accepted.bytesRead === before && !accepted.destroyed) await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(accepted.readableLength, 0)
  assert.equal(made(), 1)
  end()
})

test('slices (4): after a valid token, the connection behaves as Node made it', async () => {
  const app = new Hono<{ Bindings: Platform }>().get('/', (c) => {
    if (c.env.visit) c.env.visit.isKnown = true
    return c.text('here')
  })
  const { server } = createHttpServer(app, () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection').then(([each]) => each as Socket)
  const line = await wire(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const socket = await accepted
  assert.ok(Object.hasOwn(socket, 'push') && Object.hasOwn(socket, '_read'))
  line.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3))
  for (let n = 0; n < 3; n++) assert.equal((await line.answer()).status, 200)
  assert.ok(!Object.hasOwn(socket, 'push') && !Object.hasOwn(socket, '_read'))
  line.socket.destroy()
  server.close()
})
