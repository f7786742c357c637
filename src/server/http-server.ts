/**
 * Connects Node's HTTP server with the fetch handler: limits, `100 Continue`, answers to bytes that are not HTTP, draining.
 *
 * Limits, on purpose: a head within 9.5 s, 16 KiB and 100 lines; a whole request within 15 s (the app refuses a slow body after
 * 8 s); `mostConnections`, 3,072 where files are not scarce; keep-alive of 75 s, longer than the 60 s after which proxies
 * close an idle connection, so that the receiver does not close it while a request is on its way. A connection on which no valid
 * token has come brings one request (`connections.ts`).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { App, Platform } from '../http/app.ts'
import { tooMany } from '../http/body.ts'
import { messageOf, type Problem, problem, problemHeaders, problemText, statusOf } from '../http/problem.ts'
import type { Tell } from '../http/tell.ts'
import { type Visit, visitOf } from '../http/visit.ts'
import { type Connection, Connections, type Exchange, isBusy } from './connections.ts'
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
/** So many bytes are read after the last answer of a connection. */
const unread = { known: 8 * 1024 * 1024, stranger: 64 * 1024 } as const

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
      async (request) => {
        const exchange = this.#entering as Exchange
        // After this await, the parser has seen the end of a body that came together with its head.
        const answer = await app.fetch(request, this.#platform(exchange))
        this.#decide(exchange)
        return answer
      },
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
    this.#connections.holdShorter()
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

  #platform({ incoming, outgoing, visit }: Exchange): Platform {
    // if a refusal comes instead of 100 Continue, the body is never sent, and Node ends the connection
    const beforeBody = this.#awaitsContinue.has(incoming) ? () => outgoing.writeContinue() : undefined
    return { visit, beforeBody, target: incoming.url, isLocal: () => isLocal(incoming) }
  }

  #serve(incoming: IncomingMessage, outgoing: ServerResponse, unmet?: Problem): void {
    const connection = this.#connections.of(incoming.socket)
    if (!connection) return
    if (connection.isHeld || (!connection.isKnown && isBusy(connection))) {
      this.#connections.hold(connection, 0)
      return
    }
    const exchange = this.#begin(connection, incoming, outgoing)
    const refusal = headProblem(incoming) ?? unmet
    if (refusal) this.#refuse(exchange, refusal)
    else {
      this.#entering = exchange
      void this.#listener(incoming, outgoing)
      this.#entering = undefined
    }
    if (exchange.visit.isKnown && !connection.isKnown) this.#connections.trust(connection)
    // This head costs the most to parse, and many more may have been sent after it.
    if (refusal === tooManyLines) {
      this.#connections.hold(connection, 0)
      // The headers are no longer read. Without this line they would be kept with the connection.
      incoming.rawHeaders.length = 0
    }
  }

  #begin(connection: Connection, incoming: IncomingMessage, outgoing: ServerResponse): Exchange {
    const { exchanges, socket } = connection
    const isAskedToEnd = this.#isDraining || !outgoing.shouldKeepAlive
    const exchange = { connection, incoming, outgoing, visit: visitFor(incoming), isAskedToEnd }
    this.#connections.moved(connection)
    while (exchanges[0]?.outgoing.closed) exchanges.shift()
    exchanges.push(exchange)
    // This is the default until `#decide` allows another request.
    outgoing.shouldKeepAlive = false
    outgoing.once('prefinish', () => {
      if (!outgoing.shouldKeepAlive) socket.destroySoon = () => this.#leave(exchange)
    })
    return exchange
  }

  /** Decides, right before the head of an answer is written, whether the connection is kept (`connections.ts`, rule 2). */
  #decide({ connection, incoming, outgoing, isAskedToEnd }: Exchange): void {
    outgoing.shouldKeepAlive = connection.isKnown && incoming.complete && !isAskedToEnd && !this.#isDraining
  }

  /** Ends a connection after its last answer. Node calls this in the place of `destroySoon`, which would end it at once. */
  #leave({ connection, incoming, isAskedToEnd }: Exchange): void {
    const { socket, isKnown } = connection
    // A sender that got no 100 Continue never sends the body.
    const endsAtOnce = isAskedToEnd || isKnown || this.#awaitsContinue.has(incoming)
    if (endsAtOnce && incoming.complete) {
      Socket.prototype.destroySoon.call(socket)
      return
    }
    if (endsAtOnce) socket.end()
    this.#connections.hold(connection, isKnown ? unread.known : unread.stranger)
    // The bytes that have come are dropped, because a piece of them would keep the whole read of 64 KiB in memory.
    incoming.resume()
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
