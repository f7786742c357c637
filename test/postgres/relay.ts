/** Forwards connections to a database, and can hold each of them back as a network does: nothing arrives, and nobody is told. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export class Link {
  readonly client: Socket
  readonly #ways: readonly (readonly [from: Socket, to: Socket])[]

  constructor(client: Socket, engine: Socket) {
    this.client = client
    this.#ways = [
      [client, engine],
      [engine, client],
    ]
    for (const [from, to] of this.#ways) {
      from.on('error', () => {})
      from.once('close', () => to.destroy())
    }
    this.release()
  }

  /** From now on nothing arrives in either direction. */
  hold(): void {
    for (const [from] of this.#ways) from.unpipe().pause()
  }

  release(): void {
    for (const [from, to] of this.#ways) from.pipe(to)
  }

  destroy(): void {
    for (const [from] of this.#ways) from.destroy()
  }
}

export type Relay = {
  readonly port: number
  /** All connections, in the order in which they came. */
  readonly links: readonly Link[]
  close(): void
}

/** `onLink` sees each connection before anything is forwarded on it. */
export async function startRelay(
  port: number,
  onLink: (link: Link, nth: number) => void = () => {},
): Promise<Relay> {
  const links: Link[] = []
  const relay = createServer((client) => {
    const link = new Link(client, connect(port, '127.0.0.1'))
    links.push(link)
    onLink(link, links.length)
  }).listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    port: (relay.address() as AddressInfo).port,
    links,
    close() {
      for (const link of links) link.destroy()
      relay.close()
    },
  }
}
