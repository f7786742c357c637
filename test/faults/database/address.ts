/** One address in front of several receivers. Each new connection goes to the next receiver that accepts it. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type Address = { readonly url: string; close(): void }

/** `urls` is called for each connection, because receivers come and go. */
export async function openAddress(urls: () => readonly string[]): Promise<Address> {
  const open = new Set<Socket>()
  let turn = 0
  const server = createServer((client) => {
    open.add(client)
    client.once('close', () => open.delete(client))
    client.on('error', () => {})
    const now = urls()
    turn++
    forward(
      client,
      now.map((_url, at) => new URL(now[(turn + at) % now.length] as string)),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}

function forward(client: Socket, [url, ...others]: readonly URL[]): void {
  if (url === undefined || client.destroyed) {
    client.destroy()
    return
  }
  const receiver = connect(Number(url.port), url.hostname)
  const end = (): void => {
    client.destroy()
    receiver.destroy()
  }
  const next = (): void => forward(client, others)
  receiver.once('error', next)
  receiver.once('connect', () => {
    receiver.off('error', next)
    receiver.on('error', end)
    receiver.once('close', end)
    client.once('close', end)
    client.pipe(receiver).pipe(client)
  })
}
