/**
 * Keeps the list of open connections, and decides which of them to end.
 *
 * A connection is a *stranger* until a valid node token has come on it. Strangers must not cost the holder of the token a post:
 *   1. A stranger that is idle, or has not sent its whole head, is ended after `strangerMs`.
 *   2. A stranger has one request. Its answer says `Connection: close`, and the receiver reads no further request. The same holds for every
 *      answer, also to the holder of the token, that is given before the whole body has come. A proxy sends the requests of many people on
 *      one connection. Without `Connection: close` it would send a post of the token's holder on a connection that is not read any more or is
 *      about to end.
 *   3. After such an answer the connection is *held*: further bytes are dropped. The receiver still reads a few bytes of a stranger, and more
 *      of the holder, so that no reset overtakes the answer (RFC 9112, 9.6). A held connection is ended when the sender ends it, or else after
 *      `strangerMs`. If a stranger were ended at once, it would come back at once. A stranger that sends the next request before it has its
 *      answer is held, too.
 *   4. When there is no room for a new connection, a stranger is ended: a held one, or else the one that has been quiet longest. A
 *      connection of the token's holder is never ended for a new one.
 *   5. A connection that is ended for want of room, and is not held, is told to come again, because a sender whose request was not read
 *      yet is still a stranger.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Visit } from '../http/visit.ts'
import { Slices } from './slices.ts'

/** A request whose head has arrived, until the end of its answer. */
export type Exchange = {
  readonly connection: Connection
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly visit: Visit
  /** The sender wants the connection to be ended after the answer, or the receiver is about to stop. */
  readonly isAskedToEnd: boolean
}

export type Connection = {
  readonly socket: Socket
  readonly slices: Slices
  /** The requests on this connection, oldest first. Finished ones are removed when the next request arrives. */
  readonly exchanges: Exchange[]
  /** A valid token has come on this connection. */
  isKnown: boolean
  /** The receiver reads no further request on this connection. */
  isHeld: boolean
  /** Bytes that are no request came on this connection, and the refusal is on its way. */
  isRefused: boolean
  /** When the connection was opened or brought its last request, on the clock of `performance.now()`. */
  movedAt: number
  /** How many bytes had come by then. */
  bytesRead: number
}

const strangerMs = 5_000
const sweepMs = 1_000
/** A connection that was told to come again stays open for so long, so that its sender can read that. */
const leavingMs = 1_000
const leavingPart = 16

export class Connections {
  readonly #open = new Map<Socket, Connection>()
  /** The stranger that has been quiet longest comes first. */
  readonly #strangers = new Set<Connection>()
  readonly #held = new Set<Connection>()
  /** Connections that have been told to come again. */
  readonly #leaving = new Set<Socket>()
  readonly #most: number
  readonly #endSlow: (connection: Connection) => void
  readonly #tellFull: (socket: Socket) => void
  readonly #sweeping: NodeJS.Timeout
  #sweptAt = performance.now()
  #heldMs = strangerMs

  /**
   * `most` is the number of connections at one time. `endSlow` answers and ends a stranger that has begun a request and not
   * ended its head. `tellFull` tells a connection to come again, and ends it.
   */
  constructor(
    most: number,
    { endSlow, tellFull }: { endSlow(connection: Connection): void; tellFull(socket: Socket): void },
  ) {
    this.#most = most
    this.#endSlow = endSlow
    this.#tellFull = tellFull
    // later in the turn, so that bytes that have come meanwhile are read first
    this.#sweeping = setInterval(() => setImmediate(() => this.#sweep()), sweepMs)
    this.#sweeping.unref()
  }

  all(): Iterable<Connection> {
    return this.#open.values()
  }

  add(socket: Socket): void {
    if (this.#open.size >= this.#most && !this.#makeRoom()) {
      this.#turnAway(socket)
      return
    }
    const state = {
      isKnown: false,
      isHeld: false,
      isRefused: false,
      movedAt: performance.now(),
      bytesRead: 0,
    }
    const connection: Connection = { socket, slices: new Slices(socket), exchanges: [], ...state }
    this.#open.set(socket, connection)
    this.#strangers.add(connection)
    socket.once('close', () => this.#forget(connection))
  }

  /** The connection of a socket; undefined when it is closed or was never let in. */
  of(socket: Socket): Connection | undefined {
    return this.#open.get(socket)
  }

  /** Called when a request has come on the connection. */
  moved(connection: Connection): void {
    if (connection.isKnown) return
    connection.movedAt = performance.now()
    connection.bytesRead = connection.socket.bytesRead
    this.#strangers.delete(connection)
    this.#strangers.add(connection)
  }

  /** Called when a valid token has come on the connection. */
  trust(connection: Connection): void {
    connection.isKnown = true
    connection.slices.passWhole()
    this.#strangers.delete(connection)
  }

  /** Reads no further request on the connection, and at most so many more bytes. */
  hold(connection: Connection, bytes: number): void {
    const { socket, slices } = connection
    if (connection.isHeld || socket.destroyed) return
    socket.pause()
    // pauses again, because Node resumes reading when it has ended an answer
    socket.on('resume', () => socket.pause())
    slices.stop(bytes, () => Socket.prototype.destroySoon.call(socket))
    connection.isHeld = true
    connection.movedAt = performance.now()
    this.#strangers.delete(connection)
    this.#held.add(connection)
  }

  /** Called when the receiver is about to stop. */
  holdShorter(): void {
    this.#heldMs = sweepMs
  }

  end(): void {
    clearInterval(this.#sweeping)
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection.socket)
    this.#strangers.delete(connection)
    this.#held.delete(connection)
  }

  #makeRoom(): boolean {
    const held = firstStranger(this.#held)
    const first = held ?? firstStranger(this.#strangers)
    if (!first) return false
    this.#forget(first)
    // A held connection has had its answer.
    if (held) held.socket.destroy()
    else this.#turnAway(first.socket)
    return true
  }

  #turnAway(socket: Socket): void {
    this.#tellFull(socket)
    this.#leaving.add(socket)
    const end = setTimeout(() => socket.destroy(), leavingMs).unref()
    socket.once('close', () => {
      clearTimeout(end)
      this.#leaving.delete(socket)
    })
    const [first] = this.#leaving
    if (this.#leaving.size > Math.max(this.#most / leavingPart, 1)) first?.destroy()
  }

  #sweep(): void {
    const now = performance.now()
    const wasHeldUp = now - this.#sweptAt > 2 * sweepMs
    this.#sweptAt = now
    // while the only thread was busy nothing was read, so the strangers only seem to have been quiet
    if (wasHeldUp) return
    for (const { movedAt, socket } of this.#held) if (movedAt < now - this.#heldMs) socket.destroy()
    const before = now - strangerMs
    for (const connection of this.#strangers) {
      // all further strangers have moved later
      if (connection.movedAt >= before) break
      if (isBusy(connection)) continue
      if (connection.socket.bytesRead > connection.bytesRead) this.#endSlow(connection)
      else connection.socket.destroy()
    }
  }
}

function firstStranger(connections: Iterable<Connection>): Connection | undefined {
  for (const connection of connections) if (!connection.isKnown) return connection
  return undefined
}

/** Whether a request on the connection waits for its answer. */
export function isBusy({ exchanges }: Connection): boolean {
  const last = exchanges.at(-1)
  return last !== undefined && !last.outgoing.writableFinished && !last.outgoing.destroyed
}
