/** Makes sockets as systemd hands them over. This process binds them and does not accept on them, so only a receiver accepts connections. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import * as net from 'node:net'

type Handle = { readonly fd: number; getsockname(into: { port: number }): number; close(): void }
const { _createServerHandle: bind } = net as unknown as {
  _createServerHandle(address: string, port: number, family: 4 | -1): Handle | number
}

export type Bound = { readonly fd: number; close(): void }

export function boundPort(): Bound & { readonly port: number } {
  const handle = bind('127.0.0.1', 0, 4)
  assert.ok(typeof handle === 'object')
  const address = { port: 0 }
  assert.equal(handle.getsockname(address), 0)
  return { fd: handle.fd, port: address.port, close: () => handle.close() }
}

export function boundSocket(path: string): Bound {
  const handle = bind(path, -1, -1)
  assert.ok(typeof handle === 'object')
  return { fd: handle.fd, close: () => handle.close() }
}

const given = new Set<number>()

/**
 * A port on which nothing listens now. It lies below those that the system gives to outgoing connections, because one of them could
 * take it before it is used. Another process may still take it, so a receiver is given a bound one where it can be. No port is given
 * twice, because that of a server which was killed is used again by the server that takes its place.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000)
    if (given.has(port)) continue
    given.add(port)
    const server = net.createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
