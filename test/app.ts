/** The app as a pure fetch handler, for tests. It takes requests and gives responses without a port, and the test passes the store. */
import assert from 'node:assert/strict'
import { contracts } from '../contracts/index.ts'
import type { Fault, Receipt, RecordStore } from '../contracts/record.ts'
import { type App, type AppDeps, createApp } from '../src/http/app.ts'
import { teller } from '../src/http/tell.ts'
import { tokenCheck } from '../src/server/tokens.ts'
import { token } from './receiver.ts'

export const previousToken = 'previous-token-'.padEnd(40, 'p')

const nothingIsStored: RecordStore = { put: () => assert.fail('nothing may be stored') }
export const receipt: Receipt = { outcome: 'created', received_at: '2026-06-15T14:32:01.000Z' }
export const storesAll: RecordStore = { put: async () => ({ ok: true, receipt }) }
export const faulty = (fault: Fault): RecordStore => ({ put: async () => ({ ok: false, fault }) })

type Line = { readonly message: string } & Readonly<Record<string, unknown>>

export function appWith(changes: Partial<AppDeps> = {}): App & { readonly lines: readonly Line[] } {
  const lines: Line[] = []
  const say = (fields: object, message: string) => void lines.push({ ...fields, message })
  const log = { info: say, warn: say, error: say, fatal: say }
  const app = createApp({
    contracts,
    store: nothingIsStored,
    tokens: tokenCheck({ current: token, previous: previousToken }),
    closed: () => undefined,
    readiness: async () => ({ reasons: [], refused: [] }),
    log,
    tell: teller(log, changes.metrics).tell,
    maxBodyBytes: 1024,
    maxInFlight: 8,
    ...changes,
  })
  return Object.assign(app, { lines })
}

export type SentRequest = { path?: string; method?: string; headers?: Record<string, string>; body?: unknown }

export async function send(
  app: App,
  { path = '/receive', method = 'POST', headers = {}, body }: SentRequest = {},
) {
  const isRaw = body === undefined || typeof body === 'string' || body instanceof ReadableStream
  return app.request(path, {
    method,
    headers: { 'x-node-token': token, ...headers },
    ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body), duplex: 'half' }),
  } as RequestInit)
}

export async function problemOf(response: Response): Promise<Record<string, unknown>> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const { type, title, status, detail, instance, ...more } = await response.json()
  assert.match(type, /^urn:civic-orchestrator:problem:[a-z-]+$/)
  assert.equal(status, response.status)
  for (const text of [title, detail]) assert.ok(typeof text === 'string' && text.length > 10, text)
  assert.equal(instance, response.headers.get('x-request-id'))
  for (const name in more) assert.ok(name === 'errors' || name === 'reasons', name)
  return { name: type.split(':').at(-1), title, detail, ...more }
}

/** A body that counts how many chunks were read from it. */
export function countedBody(chunks: readonly string[]) {
  const left = [...chunks]
  const counted = { pulled: 0, cancelled: false, stream: undefined as unknown as ReadableStream }
  counted.stream = new ReadableStream(
    {
      pull(controller) {
        counted.pulled++
        const next = left.shift()
        if (next === undefined) controller.close()
        else controller.enqueue(new TextEncoder().encode(next))
      },
      cancel: () => {
        counted.cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return counted
}
