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
import { createLog } from '../src/log.ts'
import { createHttpServer } from '../src/server.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

async function listening(): Promise<ReturnType<typeof createHttpServer>['server']> {
  const app = new Hono<{ Bindings: Platform }>().get('/', (c) => c.text('here'))
  const { server } = createHttpServer(app, createLog('silent'))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'

test('a connection that is kept alive does not keep the requests that it has brought', async () => {
  const server = await listening()
  const seen: WeakRef<IncomingMessage>[] = []
  server.prependListener('request', (incoming) => seen.push(new WeakRef(incoming)))
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  try {
    for (let sent = 0; sent < 20; sent++) {
      socket.write(request)
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

test('what is no request is answered at once where an earlier request has been', {
  timeout: 10_000,
}, async () => {
  const server = await listening()
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  try {
    socket.write(request)
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
      socket.write(request)
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
