import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Hono } from 'hono'
import type { Platform } from '../src/http/app.ts'
import { createLog } from '../src/log.ts'
import { createHttpServer } from '../src/server.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

test('a connection that is kept alive does not keep the requests that it has brought', async () => {
  const app = new Hono<{ Bindings: Platform }>().get('/', (c) => c.text('here'))
  const { server } = createHttpServer(app, createLog('silent'))
  const seen: WeakRef<IncomingMessage>[] = []
  server.prependListener('request', (incoming) => seen.push(new WeakRef(incoming)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  try {
    for (let sent = 0; sent < 20; sent++) {
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
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
