/**
 * Connects Node's HTTP server with the fetch handler: limits, `100 Continue`, answers to bytes that are not HTTP, draining.
 *
 * Limits, on purpose: a head within 9.5 s, 16 KiB and 100 lines; a whole request within 15 s (the app refuses a slow body after
 * 8 s); `mostConnections`, 3,072 where files are not scarce; keep-alive of 75 s, longer than the 60 s after which proxies
 * close an idle connection, so that the receiver does not close it while a request is on its way. Connections on which no valid
 * token has come have lower limits (`connections.ts`).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { App, Platform } from '../http/app.ts'
import { tooMany } from '../http/body.ts'
import { messageOf, type Problem, problem, problemHeaders, problemText, statusOf } from '../http/problem.ts'
import type { Tell } from '../http/tell.ts'
import { type Visit, visitOf } from '../http/visit.ts'
import { type Connection, Connections, type Exchange, isBusy, strangerMs } from './connections.ts'
import { headProblem, isLocal, mostHeaderLines, otherCoding, tooManyLines } from './head-rules.ts'

const limits = {
  headersTimeout: 8_500,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16_384,
  // answered with a problem document (`head-rules.ts`)
  requireHostHeader: false,
} as const
/** While draining, a kept-alive connection may bring one more request for so long, so that no request meets a closing socket. */
const lingerMs = 1_000
/**
 * After a refusal, so many bytes of an unread body may still come, for so long. Then the connection is free for the next
 * request.
 */
const unread = {
  known: { bytes: 8 * 1024 * 1024, ms: 5_000 },
  stranger: { bytes: 64 * 1024, ms: 500 },
} as const

export type HttpServer = {
  readonly server: Server
  /**
   * Stops accepting, and resolves when the last answer was sent. `onLingered` is called when further requests are to be
   * refused.
   */
  drain(onLingered: () => void): Promise<void>
}

export function createHttpServer(app: App, tell: Tell, mostConnections = 3_072): HttpServer {
  return new Rim(app, tell, mostConnections)
}

class Rim implements HttpServer {
  readonly server: Server
  readonly #tell: Tell
  readonly #listener: ReturnType<typeof getRequestListener>
  readonly #connections: Connections
  readonly #awaitsContinue = new WeakSet<IncomingMessage>()
  #isDraining = false
  /** The exchange for which the listener is being called. */
  #entering: Exchange | undefined

  constructor(app: App, tell: Tell, mostConnections: number) {
    this.#tell = tell
    this.#connections = new Connections(mostConnections, {
      endSlow: ({ socket }) => this.#endWith(socket, tooSlow),
      tellFull: (socket) => this.#tellFull(socket),
    })
    this.#listener = getRequestListener(
      (request, env) => app.fetch(request, this.#platform(env as Pick<Exchange, 'incoming' | 'outgoing'>)),
      {
        errorHandler: () => this.#notHttp(),
        // an HTTP/1.0 request may have no Host
        hostname: 'localhost',
        autoCleanupIncoming: false,
      },
    )
    this.server = createServer(limits, (incoming, outgoing) => this.#serve(incoming, outgoing))
    this.server.maxHeadersCount = mostHeaderLines
    this.#listen()
  }

  async drain(onLingered: () => void): Promise<void> {
    this.#isDraining = true
    for (const { exchanges } of this.#connections.all()) {
      for (const { outgoing } of exchanges) outgoing.shouldKeepAlive = false
    }
    // the close() of Node's HTTP server would end idle connections at once, and with them requests that are on their way
    const closed = new Promise<void>((resolve) =>
      NetServer.prototype.close.call(this.server, () => resolve()),
    )
    const lingered = setTimeout(() => {
      onLingered()
      this.server.closeIdleConnections()
      for (const { socket } of this.#connections.all()) if (socket.bytesRead === 0) socket.destroy()
    }, lingerMs)
    await closed
    clearTimeout(lingered)
    this.#connections.end()
  }

  #listen(): void {
    const { server } = this
    // a client that has sent its request may end its side and still gets its answer; Node's types lack this option
    Object.assign(server, { httpAllowHalfOpen: true })
    server.on('connection', (socket) => this.#connections.add(socket))
    server.on('checkContinue', (incoming, outgoing) => {
      this.#awaitsContinue.add(incoming)
      this.#serve(incoming, outgoing)
    })
    server.on('checkExpectation', (incoming, outgoing) => {
      outgoing.shouldKeepAlive = false
      this.#serve(incoming, outgoing, badExpectation)
    })
    server.on('connect', (incoming, socket) => this.#endWith(socket as Socket, noTunnel, visitFor(incoming)))
    server.on('clientError', (error: ParseError, socket) =>
      this.#endWith(socket as Socket, clientProblem(error)),
    )
  }

  #platform({ incoming, outgoing }: Pick<Exchange, 'incoming' | 'outgoing'>): Platform {
    // if a refusal comes instead of 100 Continue, the body is never sent, and Node ends the connection
    const beforeBody = this.#awaitsContinue.has(incoming) ? () => outgoing.writeContinue() : undefined
    const { visit } = this.#entering as Exchange
    return { visit, beforeBody, target: incoming.url, isLocal: () => isLocal(incoming) }
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse, unmet?: Problem): void {
    const connection = this.#connections.of(incoming.socket)
    if (!connection) return
    if (connection.isHeld || (!connection.isKnown && isBusy(connection))) {
      this.#connections.hold(connection)
      return
    }
    const exchange = this.#begin(connection, incoming, outgoing)
    const refusal = headProblem(incoming) ?? unmet
    if (refusal) {
      this.#refuse(exchange, refusal)
      // this head costs the most to parse, and many more may have been sent behind it
      if (refusal === tooManyLines && !connection.isKnown) {
        this.#connections.hold(connection)
        // nobody reads the headers any more, and otherwise they would be kept with the connection
        incoming.rawHeaders.length = 0
      }
      return
    }
    this.#entering = exchange
    void this.#listener(incoming, outgoing)
    this.#entering = undefined
    if (exchange.visit.isKnown && !connection.isKnown) this.#connections.trust(connection)
  }

  #begin(connection: Connection, incoming: IncomingMessage, outgoing: ServerResponse): Exchange {
    const { exchanges } = connection
    const exchange = { incoming, outgoing, visit: visitFor(incoming) }
    this.#connections.moved(connection)
    while (exchanges[0]?.outgoing.closed) exchanges.shift()
    exchanges.push(exchange)
    if (this.#isDraining) outgoing.shouldKeepAlive = false
    if (!connection.isKnown) outgoing.setHeader('keep-alive', `timeout=${strangerMs / 1000}`)
    // This runs before Node reads the rest of a body without counting it.
    outgoing.once('prefinish', () => {
      if (incoming.complete) this.#holdMore(connection)
      else this.#readRest(connection, incoming)
    })
    return exchange
  }

  /** Reads the rest of a body, because unread bytes would block the next requests of the connection. */
  #readRest(connection: Connection, incoming: IncomingMessage): void {
    const { bytes, ms } = connection.isKnown ? unread.known : unread.stranger
    if (!connection.isKnown && Number(incoming.headers['content-length']) > bytes) {
      this.#leaveRest(connection, incoming)
      return
    }
    let left: number = bytes
    const stop = (): void => {
      end()
      this.#leaveRest(connection, incoming)
    }
    const timer = setTimeout(stop, ms)
    const count = (chunk: Uint8Array): void => {
      left -= chunk.length
      if (left < 0) stop()
    }
    const end = (): void => {
      clearTimeout(timer)
      incoming.off('data', count)
    }
    const ended = (): void => {
      end()
      this.#holdMore(connection)
    }
    incoming.on('data', count).once('end', ended).once('close', end)
  }

  #leaveRest(connection: Connection, incoming: IncomingMessage): void {
    if (connection.isKnown) {
      incoming.pause()
      connection.socket.destroySoon()
    } else {
      this.#connections.hold(connection)
      // The bytes that have come are dropped, because a piece of them would keep the whole read of 64 KiB in memory.
      incoming.resume()
    }
  }

  /** Holds a stranger that has sent more than the request that was answered. */
  #holdMore(connection: Connection): void {
    if (!connection.isKnown && connection.slices.hasRest) this.#connections.hold(connection)
  }

  /** Answers a request in place of the app. */
  #refuse({ outgoing, visit }: Exchange, what: Problem): void {
    const text = this.#refusal(what, visit)
    const headers = { ...problemHeaders(what, visit.id), 'content-length': Buffer.byteLength(text) }
    outgoing.writeHead(statusOf(what.name), headers).end(text)
  }

  #refusal(what: Problem, visit: Visit): string {
    this.#tell(visit, statusOf(what.name), what.name)
    return problemText(what, visit.id)
  }

  #notHttp(): Response {
    const visit = this.#entering?.visit ?? visitOf(null)
    const init = { status: statusOf(notHttp.name), headers: problemHeaders(notHttp, visit.id) }
    return new Response(this.#refusal(notHttp, visit), init)
  }

  /** Answers a connection for which there is no room, and ends it. */
  #tellFull(socket: Socket): void {
    const visit = visitOf(null)
    this.#tell(visit, statusOf(tooMany.name), tooMany.name)
    if (socket.writable) socket.end(messageOf(tooMany, visit.id))
  }

  /** Answers bytes that are no request, after the answers to the requests before them, and ends the connection. */
  #endWith(socket: Socket, what: Problem, visit = visitOf(null)): void {
    const connection = this.#connections.of(socket)
    if (connection?.isRefused) return
    if (!connection || !socket.writable) {
      socket.destroy()
      return
    }
    connection.isRefused = true
    const { exchanges } = connection
    const last = exchanges.at(-1)
    // This also holds for the body of a request that has been answered.
    const isInBody = last !== undefined && !last.incoming.complete
    const before = exchanges.at(isInBody ? -2 : -1)?.outgoing
    const end = (): void => {
      if (!socket.writable || (isInBody && last.outgoing.headersSent)) socket.destroySoon()
      // the app logs a body that ended early, so no second line is written
      else if (isInBody) socket.end(messageOf(what, last.visit.id))
      else {
        this.#tell(visit, statusOf(what.name), what.name)
        socket.end(messageOf(what, visit.id))
      }
    }
    if (before && !before.closed) before.once('close', end)
    else end()
  }
}

const notHttp = problem(
  'bad-request',
  'Send an HTTP/1.1 request with a valid head: method, path, Host and one body length.',
)
const badExpectation = problem('expectation-failed', 'Send no Expect header other than 100-continue.')
const noTunnel = problem('method-not-allowed', 'Use POST /receive.', { headers: { allow: 'POST' } })
const tooSlow = problem('request-too-slow', 'Send the whole request without pauses.')
const clientProblems: ReadonlyMap<string, Problem> = new Map([
  [
    'HPE_HEADER_OVERFLOW',
    problem('header-too-large', `Send at most ${limits.maxHeaderSize} bytes of headers.`),
  ],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', problem('bad-request', 'Send the body without chunk extensions.')],
  ['ERR_HTTP_REQUEST_TIMEOUT', tooSlow],
])

type ParseError = NodeJS.ErrnoException & { readonly reason?: string }

function clientProblem({ code = '', reason = '' }: ParseError): Problem {
  // Node uses the same code for a length beside chunks, which is not HTTP
  if (code === 'HPE_INVALID_TRANSFER_ENCODING' && !reason.includes('Content-Length')) return otherCoding
  return clientProblems.get(code) ?? notHttp
}

function visitFor({ headers }: IncomingMessage): Visit {
  const sent = headers['x-request-id']
  return visitOf(typeof sent === 'string' ? sent : null)
}
