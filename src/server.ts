/**
 * The rim between Node's HTTP server and the fetch handler: limits, `100 Continue`, answers to what is not HTTP, draining.
 *
 * Limits, on purpose: a head within 9.5 s and 16 KiB; a whole request within 15 s (the app refuses a slow body after 8 s);
 * 2,048 connections; keep-alive of 75 s, longer than the 60 s after which proxies let go of an idle connection, so that it
 * is not this side that closes while a request is on its way.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { App, Platform } from './http/app.ts'
import { type Problem, problem, problemText, statusOf } from './http/problem.ts'
import { type Visit, visitOf } from './http/visit.ts'
import type { Log } from './log.ts'

const limits = {
  headersTimeout: 8_500,
  requestTimeout: 15_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16_384,
  // the app answers a missing Host with a problem document
  requireHostHeader: false,
} as const
const maxConnections = 2_048
/** While draining, a connection that was kept alive may bring one more request, so that none meets a closing socket. */
const lingerMs = 1_000

export type HttpServer = {
  readonly server: Server
  /** Stops accepting and resolves when the last answer is out. `onLingered`: from now on, requests are too late. */
  drain(onLingered: () => void): Promise<void>
}

/** A request that has a head, from its arrival to the end of its answer. */
type Exchange = {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly visit: Visit
}

export function createHttpServer(app: App, log: Log): HttpServer {
  /** In order of arrival, since pipelined requests wait for each other's answers; what has ended goes when the next one comes. */
  const connections = new Map<Socket, Exchange[]>()
  const refused = new WeakSet<Socket>()
  const awaitsContinue = new WeakSet<IncomingMessage>()
  let draining = false
  /** The one that the listener is being called for. */
  let entering: Exchange | undefined

  const listener = getRequestListener(
    (request, env) => {
      const { incoming, outgoing } = env as { incoming: IncomingMessage; outgoing: ServerResponse }
      // a refusal in its place leaves the body unsent, and Node then ends the connection
      const beforeBody = awaitsContinue.has(incoming) ? () => outgoing.writeContinue() : undefined
      const platform: Platform = { visit: (entering as Exchange).visit, beforeBody }
      return app.fetch(request, platform)
    },
    { errorHandler: () => new Response(...refusal(notHttp, entering?.visit ?? visitOf(null))) },
  )

  const begin = (incoming: IncomingMessage, outgoing: ServerResponse): Exchange => {
    const exchange = { incoming, outgoing, visit: visitFor(incoming) }
    const exchanges = connections.get(incoming.socket) ?? []
    while (exchanges[0]?.outgoing.closed) exchanges.shift()
    exchanges.push(exchange)
    if (draining) outgoing.shouldKeepAlive = false
    return exchange
  }

  const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    entering = begin(incoming, outgoing)
    void listener(incoming, outgoing)
    entering = undefined
  }

  /** An answer that the app does not give, and its line in the log. */
  const refusal = (
    what: Problem,
    visit: Visit,
  ): [string, { status: number; headers: Record<string, string> }] => {
    const status = statusOf(what.name)
    const ms = Math.round((performance.now() - visit.arrived) * 1000) / 1000
    log.info({ request_id: visit.id, status, outcome: what.name, ms }, 'request')
    return [problemText(what, visit.id), { status, headers: headersOf(what, visit.id) }]
  }

  /** Answers what is no request, after the answers to the requests before it, and ends the connection. */
  const endWith = (socket: Socket, what: Problem, visit = visitOf(null)): void => {
    if (refused.has(socket)) return
    if (!socket.writable) {
      socket.destroy()
      return
    }
    refused.add(socket)
    const exchanges = connections.get(socket) ?? []
    const last = exchanges.at(-1)
    // also of a request that has been answered
    const isInBody = last !== undefined && !last.incoming.complete
    const before = exchanges.at(isInBody ? -2 : -1)?.outgoing
    const end = (): void => {
      if (!socket.writable || (isInBody && last.outgoing.headersSent)) socket.destroySoon()
      // the app's own line tells of a body that ended early
      else if (isInBody) socket.end(messageOf(problemText(what, last.visit.id), what, last.visit.id))
      else {
        const [text] = refusal(what, visit)
        socket.end(messageOf(text, what, visit.id))
      }
    }
    if (before && !before.closed) before.once('close', end)
    else end()
  }

  const server = createServer(limits, serve)
  server.maxConnections = maxConnections
  server.on('connection', (socket) => {
    connections.set(socket, [])
    socket.once('close', () => connections.delete(socket))
  })
  server.on('checkContinue', (incoming, outgoing) => {
    awaitsContinue.add(incoming)
    serve(incoming, outgoing)
  })
  server.on('checkExpectation', (incoming, outgoing) => {
    const [text, { status, headers }] = refusal(badExpectation, begin(incoming, outgoing).visit)
    outgoing.shouldKeepAlive = false
    outgoing.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) }).end(text)
  })
  server.on('connect', (incoming, socket) => endWith(socket as Socket, noTunnel, visitFor(incoming)))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    endWith(socket as Socket, clientProblems.get(error.code ?? '') ?? notHttp)
  })

  return {
    server,
    async drain(onLingered) {
      draining = true
      for (const exchanges of connections.values()) {
        for (const { outgoing } of exchanges) outgoing.shouldKeepAlive = false
      }
      // http's own close() would end idle connections at once, and with them a request that is on its way
      const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()))
      const lingered = setTimeout(() => {
        onLingered()
        server.closeIdleConnections()
        for (const socket of connections.keys()) if (socket.bytesRead === 0) socket.destroy()
      }, lingerMs)
      await closed
      clearTimeout(lingered)
    },
  }
}

const notHttp = problem(
  'bad-request',
  'Send an HTTP/1.1 request with a valid head: method, path, Host and one body length.',
)
const badExpectation = problem('expectation-failed', 'Send no Expect header other than 100-continue.')
const noTunnel = problem('method-not-allowed', 'Use POST /receive.', { headers: { allow: 'POST' } })
const clientProblems: ReadonlyMap<string, Problem> = new Map([
  [
    'HPE_HEADER_OVERFLOW',
    problem('header-too-large', `Send at most ${limits.maxHeaderSize} bytes of headers.`),
  ],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', problem('bad-request', 'Send the body without chunk extensions.')],
  ['ERR_HTTP_REQUEST_TIMEOUT', problem('request-too-slow', 'Send the whole request without pauses.')],
])

function visitFor({ headers }: IncomingMessage): Visit {
  const sent = headers['x-request-id']
  return visitOf(typeof sent === 'string' ? sent : null)
}

function headersOf(what: Problem, id: string): Record<string, string> {
  return { 'content-type': 'application/problem+json', 'x-request-id': id, ...what.headers }
}

/** The whole answer, for a connection on which Node gives no `ServerResponse`. */
function messageOf(text: string, what: Problem, id: string): string {
  const status = statusOf(what.name)
  const length = String(Buffer.byteLength(text))
  const headers = { ...headersOf(what, id), 'content-length': length, connection: 'close' }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${text}`
}
