/** Refusals as problem details (RFC 9457). Every body of this service that is neither a receipt nor a state is built here. */
import type { FieldError } from '../../contracts/contract.ts'

/** Name → status and title (SPEC 2). The name ends the type URN, so a program can tell refusals apart. */
const kinds = {
  'not-found': [404, 'There is nothing at this path'],
  'method-not-allowed': [405, 'This path takes another method'],
  'wrong-token': [401, 'The node token is missing or wrong'],
  paused: [503, 'The receiver is paused'],
  draining: [503, 'The receiver is about to stop'],
  'too-many-requests-in-flight': [503, 'Too many requests at once'],
  'not-ready': [503, 'Nothing can be stored at the moment'],
  'length-required': [411, 'The body has no length'],
  'transfer-encoding': [501, 'The body has a transfer coding'],
  'content-encoding': [415, 'The body is encoded'],
  'body-too-large': [413, 'The body is too large'],
  'body-too-slow': [408, 'The body did not arrive in time'],
  'request-too-slow': [408, 'The request did not arrive in time'],
  'body-aborted': [400, 'The body ended early'],
  'bad-request': [400, 'The request is not HTTP as it should be'],
  'header-too-large': [431, 'The request head is too large'],
  'expectation-failed': [417, 'The expectation cannot be met'],
  'bad-json': [400, 'The body is not one JSON object'],
  'bad-envelope': [422, 'The envelope does not follow its contract'],
  'disk-full': [507, 'No room on the disk'],
  'storage-busy': [503, 'The disk or the lock was not had in time'],
  'storage-failure': [503, 'The record could not be stored'],
  'too-many-open-files': [503, 'The receiver may open no further file'],
  'records-refused': [503, "The association's records file is damaged"],
  internal: [500, 'The receiver made a mistake'],
} as const satisfies Record<string, readonly [status: number, title: string]>

export type ProblemName = keyof typeof kinds
export const problemNames = Object.keys(kinds) as readonly ProblemName[]

export type Problem = {
  readonly name: ProblemName
  /**
   * The text of the problem document before and after its `instance`. It is printed once for all requests refused for one
   * reason.
   */
  readonly around: readonly [before: string, after: string]
  readonly headers?: Readonly<Record<string, string>> | undefined
}

type More = {
  readonly errors?: readonly FieldError[]
  readonly reasons?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
}

/** `detail` says in plain words what to change. It never repeats a value that was sent. */
export function problem(name: ProblemName, detail: string, { errors, reasons, headers }: More = {}): Problem {
  const [status, title] = kinds[name]
  const type = `urn:civic-orchestrator:problem:${name}`
  const before = JSON.stringify({ type, title, status, detail, instance: '' }).slice(0, -2)
  const rest = JSON.stringify({ errors, reasons }).slice(1)
  return { name, around: [before, rest === '}' ? '"}' : `",${rest}`], headers }
}

/** Seconds after which it is worth trying again (RFC 9110, 10.2.3). */
export function retryAfter(seconds: number): { headers: Record<string, string> } {
  return { headers: { 'retry-after': String(seconds) } }
}

export function statusOf(name: ProblemName): number {
  return kinds[name][0]
}

/**
 * The text of the problem document. `instance` is the request id of the log line; `visit.ts` lets in only letters that need no
 * escape.
 */
export function problemText({ around: [before, after] }: Problem, instance: string): string {
  return before + instance + after
}

export function problemHeaders({ headers }: Problem, instance: string): Record<string, string> {
  return { 'content-type': 'application/problem+json', 'x-request-id': instance, ...headers }
}

export function problemResponse(refusal: Problem, instance: string): Response {
  const init = { status: statusOf(refusal.name), headers: problemHeaders(refusal, instance) }
  return new Response(problemText(refusal, instance), init)
}

/** The whole answer as HTTP/1.1, for a bare connection on which Node offers no response object. The connection ends with it. */
export function messageOf(refusal: Problem, instance: string): string {
  const text = problemText(refusal, instance)
  const [status, title] = kinds[refusal.name]
  const length = String(new TextEncoder().encode(text).length)
  const headers = { ...problemHeaders(refusal, instance), 'content-length': length, connection: 'close' }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${title}\r\n${lines.join('')}\r\n${text}`
}
