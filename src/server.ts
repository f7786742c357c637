/**
 * The rim between Node's HTTP server and the fetch handler: limits, `100 Continue`, answers to what is not HTTP, draining.
 *
 * Limits, on purpose: a head within 10 s and 16 KiB; a whole request within 15 s (the app refuses a slow body after 8 s);
 * 2,048 connections; keep-alive of 75 s, longer than the 60 s after which proxies let go of an idle connection, so that it
 * is not this side that closes while a request is on its way.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import type { App, Platform } from './http/app.ts'
import { type Problem, problem, problemResponse, problemText, statusOf } from './http/problem.ts'

const limits = {
  headersTimeout: 10_000,
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

export function createHttpServer(app: App): HttpServer {
  const answers = new Map<Socket, ServerResponse>()
  const sockets = new Set<Socket>()
  const awaitsContinue = new WeakSet<IncomingMessage>()
  let draining = false

  const listener = getRequestListener(
    (request, env) => {
      const { incoming, outgoing } = env as { incoming: IncomingMessage; outgoing: ServerResponse }
      const platform: Platform = awaitsContinue.has(incoming) ? { beforeBody: () => proceed(outgoing) } : {}
      return app.fetch(request, platform)
    },
    { errorHandler: () => problemResponse(notHttp, crypto.randomUUID()) },
  )

  const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    answers.set(incoming.socket, outgoing)
    outgoing.once('close', () => answers.delete(incoming.socket))
    if (draining) outgoing.shouldKeepAlive = false
    void listener(incoming, outgoing)
  }

  /** Without this the client keeps its body back, and the connection cannot be used for another request. */
  const proceed = (outgoing: ServerResponse): void => {
    outgoing.writeContinue()
    outgoing.shouldKeepAlive = !draining
  }

  const server = createServer(limits, serve)
  server.maxConnections = maxConnections
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('checkContinue', (incoming, outgoing) => {
    awaitsContinue.add(incoming)
    outgoing.shouldKeepAlive = false
    serve(incoming, outgoing)
  })
  server.on('checkExpectation', (incoming, outgoing) => endWith(incoming.socket, badExpectation, outgoing))
  server.on('connect', (_incoming, socket) => endWith(socket, noTunnel))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    endWith(socket, clientProblems.get(error.code ?? '') ?? notHttp, answers.get(socket as Socket))
  })

  return {
    server,
    async drain(onLingered) {
      draining = true
      for (const outgoing of answers.values()) outgoing.shouldKeepAlive = false
      // http's own close() would end idle connections at once, and with them a request that is on its way
      const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()))
      const lingered = setTimeout(() => {
        onLingered()
        server.closeIdleConnections()
        for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
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
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', problem('body-too-large', 'Send the body without chunk extensions.')],
  ['ERR_HTTP_REQUEST_TIMEOUT', problem('body-too-slow', 'Send the whole request without pauses.')],
])

/** An answer where there is no request for the app to see; nothing once another answer has begun on this connection. */
function endWith(socket: Duplex, refusal: Problem, begun?: ServerResponse): void {
  if (!socket.writable || begun?.headersSent) {
    socket.destroy()
    return
  }
  const id = crypto.randomUUID()
  const body = problemText(refusal, id)
  const status = statusOf(refusal.name)
  const headers = {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'x-request-id': id,
    connection: 'close',
    ...refusal.headers,
  }
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join('')}\r\n${body}`)
}
