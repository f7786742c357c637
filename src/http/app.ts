/** The app: a pure fetch handler, Request in, Response out. All that it needs is handed to it, and it imports nothing of Node. */
import { type Context, Hono } from 'hono'
import type { Log } from '../log.ts'
import { type Problem, problem, problemResponse, retryAfter } from './problem.ts'
import { type Reason, reasonsOf } from './ready.ts'
import { type ReceiveDeps, type Received, receiver, type StoredEnvelope } from './receive.ts'
import type { Metrics, Tell } from './tell.ts'
import { presentedToken } from './token.ts'
import { type Visit, visitOf } from './visit.ts'

export type AppDeps = ReceiveDeps & {
  /** Undefined: there is no `GET /metrics`. */
  readonly metrics?: Metrics | undefined
  readonly log: Log
  readonly tell: Tell
  /**
   * Whether anything can be stored now. `refused` names the associations whose records file is damaged, `locked` the associations
   * whose lock cannot be acquired, `reading` the associations whose records are still being read.
   */
  readonly readiness: () => Promise<{
    readonly reasons: readonly Reason[]
    readonly refused: readonly string[]
    readonly notes?: readonly string[]
    readonly locked?: readonly string[]
    readonly reading?: readonly string[]
  }>
}

/** What the platform (`server/http-server.ts`, or a test) hands over with each request. */
export type Platform = {
  /** Made by the server when the request arrived. The server shares it, because it may have to answer in place of the app. */
  readonly visit?: Visit
  readonly beforeBody?: (() => void) | undefined
  /** The request target as it was sent. The URL of a `Request` has its dots and escapes resolved already. */
  readonly target?: string | undefined
  /** Whether the request comes from this machine itself, and through no proxy. */
  readonly isLocal?: () => boolean
}

export type App = Hono<{ Bindings: Platform }>

export function createApp(deps: AppDeps): App {
  const app: App = new Hono<{ Bindings: Platform }>({ getPath: pathSent })
  const receive = receiver(deps)
  const answers = answersWith(deps)
  const { tell, later, refuse, mayKnow, visitTo } = answers

  app.post('/receive', (c) => {
    const visit = visitIn(c)
    const answer = receive(c.req.raw, visit, c.env?.beforeBody)
    return answer instanceof Promise ? later(visit, answer) : tell(visit, answer)
  })
  app.get('/health', (c) => state(visitTo(c), 200, { status: 'ok' }))
  app.get('/ready', async (c) => {
    const visit = visitTo(c)
    const { reasons, body } = await readyNow(deps)
    const isTold = mayKnow(c)
    if (reasons.length > 0) return problemResponse(isTold ? notReady(reasons) : notReadyAtAll, visit.id)
    return state(visit, 200, isTold ? body : { status: 'ready' })
  })

  if (deps.metrics) serveMetrics(app, deps.metrics, answers)
  app.all('/receive', (c) => refuse(c, wrongMethod('POST')))
  app.all('/health', (c) => refuse(c, wrongMethod('GET, HEAD')))
  app.all('/ready', (c) => refuse(c, wrongMethod('GET, HEAD')))
  app.notFound((c) => refuse(c, nothingHere))
  app.onError((error, c) => {
    const visit = visitIn(c)
    deps.log.error(
      { request_id: visit.id, error: error.name, at: framesOf(error) },
      'a mistake in this program',
    )
    return tell(visit, { refusal: mistake })
  })

  return app
}

type Answers = ReturnType<typeof answersWith>

/** Makes the answers of the app. Each is a Response, a line in the log and a count in the metrics. */
function answersWith({ tell: report, tokens }: AppDeps) {
  function tell(visit: Visit, answer: Received): Response {
    const { id } = visit
    const response =
      'stored' in answer ? receiptResponse(answer.stored, id) : problemResponse(answer.refusal, id)
    const outcome = 'stored' in answer ? answer.stored.receipt.outcome : answer.refusal.name
    report(visit, response.status, outcome)
    return response
  }

  /** The visit of a request that is no post. If the request has a token, the receiver only notes whether the token is valid. */
  function visitTo(c: Context<{ Bindings: Platform }>): Visit {
    const visit = visitIn(c)
    if (tokens.match(presentedToken(c.req.raw.headers)) !== undefined) visit.isKnown = true
    return visit
  }

  return {
    tell,
    visitTo,
    later: async (visit: Visit, answer: Promise<Received>): Promise<Response> => tell(visit, await answer),
    refuse: (c: Context, refusal: Problem): Response => tell(visitTo(c), { refusal }),
    /** Reasons, names and metrics are shown on this machine, and to senders that have the token. */
    mayKnow: (c: Context<{ Bindings: Platform }>): boolean =>
      c.env?.isLocal?.() === true || visitTo(c).isKnown === true,
  }
}

function serveMetrics(app: App, metrics: Metrics, { refuse, mayKnow, visitTo }: Answers): void {
  app.get('/metrics', async (c) => {
    if (!mayKnow(c)) return refuse(c, nothingHere)
    return c.body(await metrics.text(), 200, {
      'content-type': metrics.contentType,
      'cache-control': 'no-store',
      'x-request-id': visitTo(c).id,
    })
  })
  app.all('/metrics', (c) => refuse(c, mayKnow(c) ? wrongMethod('GET, HEAD') : nothingHere))
}

/** The reasons why nothing can be stored now, and the answer of `GET /ready` when there are none. */
async function readyNow({
  closed,
  readiness,
}: AppDeps): Promise<{ readonly reasons: readonly string[]; readonly body: object }> {
  const shut = closed()
  const { reasons: ofStore, refused, locked = [], reading = [], notes } = await readiness()
  return {
    reasons: reasonsOf(shut, ofStore).map(({ text }) => text),
    body: {
      status: 'ready',
      refused_associations: refused,
      locked_associations: locked,
      reading_associations: reading,
      ...(notes && { notes }),
    },
  }
}

/**
 * The path as it was sent (SPEC 2), because a proxy in front has compared the same letters with its own rules. In the absolute form
 * of a target the path begins behind the host.
 */
function pathSent(request: Request, options?: { env?: Platform }): string {
  const sent = options?.env?.target ?? request.url
  const from = /^[a-z]+:\/\/[^/?]*/i.exec(sent)?.[0].length ?? 0
  const end = sent.indexOf('?', from)
  const path = sent.slice(from, end < 0 ? undefined : end)
  // `/receive/` counts as `/receive`; it is not redirected, because Hubzilla's client never follows a redirect of a post
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

function visitIn(c: Context<{ Bindings: Platform }>): Visit {
  return c.env?.visit ?? visitOf(c.req.raw.headers.get('x-request-id'))
}

/** SPEC 4, "Answer on success". */
function receiptResponse({ record, receipt, warnings }: StoredEnvelope, id: string): Response {
  const { outcome, received_at, ...chain } = receipt
  const { addon, association_slug, participant_id } = record
  const warned = warnings.length > 0 ? { warnings } : {}
  const text = JSON.stringify({
    status: 'stored',
    outcome,
    addon,
    association_slug,
    participant_id,
    received_at,
    ...chain,
    ...warned,
  })
  const status = outcome === 'created' || outcome === 'appended' ? 201 : 200
  return new Response(text, { status, headers: { 'content-type': 'application/json', 'x-request-id': id } })
}

function state({ id }: Visit, status: number, body: object): Response {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', 'x-request-id': id }
  return new Response(JSON.stringify(body), { status, headers })
}

function wrongMethod(allow: string): Problem {
  return problem('method-not-allowed', `Use ${allow.replace(', ', ' or ')} here.`, { headers: { allow } })
}

function notReady(reasons: readonly string[]): Problem {
  return problem('not-ready', 'See `reasons`.', { reasons, ...retryAfter(10) })
}

const notReadyAtAll = problem(
  'not-ready',
  'The reasons are told on the machine itself, and to who sends the node token.',
  retryAfter(10),
)
const nothingHere = problem('not-found', 'Envelopes go to POST /receive.')
const mistake = problem(
  'internal',
  'Nothing is known to be stored. Send again, and tell the operator the request id.',
)

/** The frames of the stack, without the message, which could hold a value that was sent. */
function framesOf(error: Error): string[] {
  return (error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8)
    .map((line) => line.trim())
}
