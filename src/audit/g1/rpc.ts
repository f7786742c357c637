/**
 * A JSON-RPC endpoint over HTTP POST: one request at a time, each with a time limit and a size limit, and without redirects.
 *
 * Trusted: the endpoint. Its answers about blocks are not checked; only the hashes of extrinsics are computed here. Ask a node
 * of your own, or several nodes of different owners.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** The endpoint failed. The message says how, in plain words. */
export class EndpointError extends Error {
  override readonly name = 'EndpointError'
}

type Call = readonly [method: string, ...params: unknown[]]

export type Endpoint = {
  call(method: string, ...params: unknown[]): Promise<unknown>
  /** Makes several calls and gives the answers in the same order. The calls are one batch unless the endpoint refuses batches. */
  all(calls: readonly Call[]): Promise<unknown[]>
}

export type Limits = {
  /** The time limit for a request, its answer, and the reading of the answer. */
  readonly timeoutMs: number
  readonly maxBytes: number
  /** The pause between two requests, so that a public node is not flooded. */
  readonly pauseMs: number
}

export const defaultLimits: Limits = { timeoutMs: 10_000, maxBytes: 32 * 1024 * 1024, pauseMs: 25 }

/** Undefined when the text is no http(s) address, or has a password in it. */
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

/** Finds an answer by its id, because an endpoint may answer a batch in any order. */
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

/** An answer with more values is refused. A block has few, and parsing very many would hold the thread beyond the time limit. */
const mostValues = 100_000

/**
 * Counts the values before parsing, because JSON.parse cannot be stopped. Each value but the first follows one of `,`, `[` and
 * `:`.
 */
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
