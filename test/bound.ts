/** Makes sockets as systemd hands them over. This process binds them and does not accept on them, so only a receiver accepts connections. */
import assert from 'node:assert/strict'
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

/** A port on which nothing listens now. Another process may take it, so a receiver is given a bound one where it can be. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
