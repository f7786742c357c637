/**
 * A JSON-RPC endpoint over HTTP POST: one request at a time, each with a time limit and a size limit, no redirects.
 *
 * Trusted: the endpoint. What it says about blocks is taken as it is; only the hashes of extrinsics are computed here. Ask
 * a node of your own, or several that do not know each other.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** The endpoint did not do what it should; the message says what, in plain words. */
export class EndpointError extends Error {
  override readonly name = 'EndpointError'
}

type Call = readonly [method: string, ...params: unknown[]]

export type Endpoint = {
  call(method: string, ...params: unknown[]): Promise<unknown>
  /** Several calls, answered in their order; sent as one batch unless the endpoint refuses batches. */
  all(calls: readonly Call[]): Promise<unknown[]>
}

export type Limits = {
  /** For a request, its answer, and reading the answer as JSON. */
  readonly timeoutMs: number
  readonly maxBytes: number
  /** Between two requests, so that a public node is not flooded. */
  readonly pauseMs: number
}

export const defaultLimits: Limits = { timeoutMs: 10_000, maxBytes: 32 * 1024 * 1024, pauseMs: 25 }

/** Undefined when the text is not an http(s) address without a password in it. */
export function endpointUrl(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  const usable = ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.password === ''
  return usable ? url : undefined
}

export function connect(url: URL, limits: Limits = defaultLimits): Endpoint {
  let requests = 0
  let batches = true
  const send = async (body: unknown): Promise<unknown> => {
    if (requests++ > 0) await sleep(limits.pauseMs)
    return exchange(url, JSON.stringify(body), limits)
  }
  const call = async (method: string, ...params: unknown[]): Promise<unknown> =>
    resultOf(await send(request(0, [method, ...params])), 0)
  const oneByOne = async (calls: readonly Call[]): Promise<unknown[]> => {
    const results: unknown[] = []
    for (const each of calls) results.push(await call(...each))
    return results
  }
  const all = async (calls: readonly Call[]): Promise<unknown[]> => {
    if (!batches || calls.length < 2) return oneByOne(calls)
    const answer = await send(calls.map((each, id) => request(id, each)))
    if (Array.isArray(answer)) return calls.map((_, id) => resultOf(byId(answer, id), id))
    batches = false
    return oneByOne(calls)
  }
  return { call, all }
}

const request = (id: number, [method, ...params]: Call): unknown => ({ jsonrpc: '2.0', id, method, params })

/** The order of answers in a batch is free. */
function byId(answers: readonly unknown[], id: number): unknown {
  return answers.find((answer) => (answer as { id?: unknown } | null)?.id === id)
}

function resultOf(answer: unknown, id: number): unknown {
  const {
    id: answered,
    result,
    error,
  } = (answer ?? {}) as { id?: unknown; result?: unknown; error?: { message?: unknown } }
  if (error)
    throw new EndpointError(`the endpoint answered with an error: ${String(error.message).slice(0, 200)}`)
  if (answered !== id || result === undefined)
    throw new EndpointError('the endpoint answered something that is not JSON-RPC')
  return result
}

async function exchange(url: URL, body: string, limits: Limits): Promise<unknown> {
  const began = performance.now()
  const signal = AbortSignal.timeout(limits.timeoutMs)
  const headers = { 'content-type': 'application/json', accept: 'application/json' }
  try {
    const response = await fetch(url, { method: 'POST', body, headers, signal, redirect: 'manual' })
    if (response.status >= 300 && response.status < 400)
      throw new EndpointError('the endpoint redirects; redirects are refused')
    if (!response.ok) throw new EndpointError(`the endpoint answered with HTTP status ${response.status}`)
    const answer = parsed(await limited(response, limits.maxBytes))
    if (performance.now() - began > limits.timeoutMs) throw new EndpointError(late(limits))
    return answer
  } catch (error) {
    if (error instanceof EndpointError) throw error
    if (signal.aborted) throw new EndpointError(late(limits))
    throw new EndpointError('the endpoint cannot be reached')
  }
}

const late = ({ timeoutMs }: Limits): string => `no whole answer within ${timeoutMs / 1000} s`

async function limited(response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > maxBytes) throw new EndpointError(`the answer is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** A block is a list of texts. What has more values than this would hold the thread for seconds, whatever the time limit. */
const mostValues = 100_000

/** JSON.parse cannot be stopped, so the values are counted before: each but the first stands behind one of `,`, `[` and `:`. */
function parsed(bytes: Uint8Array): unknown {
  let values = 0
  for (const byte of bytes) if (byte === 0x2c || byte === 0x5b || byte === 0x3a) values++
  if (values > mostValues) throw new EndpointError(`the answer holds more than ${mostValues} values`)
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    throw new EndpointError('the endpoint answered something that is not JSON')
  }
}
