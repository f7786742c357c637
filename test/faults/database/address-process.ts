/** The process of an address (`address.ts`). It is sent the URLs of the receivers, and sends its own port once. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

let urls: readonly string[] = []
let turn = 0

const server = createServer((client) => {
  client.on('error', () => {})
  turn++
  forward(
    client,
    urls.map((_url, at) => new URL(urls[(turn + at) % urls.length] as string)),
  )
})

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

process.on('message', (now: readonly string[]) => {
  urls = now
})
process.once('disconnect', () => process.exit())
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.((server.address() as AddressInfo).port)
