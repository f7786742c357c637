/** A TCP connection to a receiver, for requests that fetch cannot send. It sends bytes as they are, and gives the answers one by one. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Receiver, startReceiver, token, vs01 } from './receiver.ts'

export type WireAnswer = {
  readonly status: number
  /** The headers by lower-case name. A repeated header is an error here. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The body as JSON. */
  json(): Record<string, unknown>
}

export type Wire = {
  readonly socket: Socket
  send(...parts: readonly (string | Uint8Array)[]): void
  /** The next answer, also a `100 Continue`. Fails when the answer does not come in time or is not HTTP/1.1. */
  answer(options?: { withinMs?: number; bodiless?: boolean }): Promise<WireAnswer>
  /** Waits until the receiver has closed the connection, and gives the bytes since the last answer. */
  closed(withinMs?: number): Promise<string>
  /** The bytes that came within this time and are no part of an answer that was taken. */
  silence(ms: number): Promise<string>
}

export async function wire(url: string): Promise<Wire> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true })
  let bytes = Buffer.alloc(0)
  let isClosed = false
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk])
    socket.emit('news')
  })
  // A reset counts as the end of the connection. The bytes before it still count.
  socket.on('error', () => {})
  for (const event of ['end', 'close'])
    socket.on(event, () => {
      isClosed = true
      socket.emit('news')
    })
  await once(socket, 'connect')

  const until = async (isDone: () => boolean, withinMs: number, what: string): Promise<void> => {
    const late = AbortSignal.timeout(withinMs)
    while (!isDone()) {
      assert.ok(!isClosed, `closed while waiting for ${what}: ${bytes}`)
      // This rejects for a reset as well; the code below then reports the end of the connection.
      await once(socket, 'news', { signal: late }).catch(() => {})
      assert.ok(!late.aborted || isDone(), `no ${what} within ${withinMs} ms`)
    }
  }

  return {
    socket,
    send: (...parts) => {
      for (const part of parts) socket.write(part)
    },
    async answer({ withinMs = 10_000, bodiless = false } = {}) {
      let end = -1
      await until(
        () => {
          end = bytes.indexOf('\r\n\r\n')
          return end >= 0
        },
        withinMs,
        'answer',
      )
      const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1])
      assert.ok(status >= 100, `not an answer: ${first}`)
      const headers: Record<string, string> = {}
      for (const line of lines) {
        const [, name = '', value = ''] = /^([^:]+): ?(.*)$/.exec(line) ?? []
        assert.ok(!Object.hasOwn(headers, name.toLowerCase()), `twice in one answer: ${name}`)
        headers[name.toLowerCase()] = value
      }
      const length = status < 200 || bodiless ? 0 : Number(headers['content-length'])
      assert.ok(length >= 0, `an answer without a length: ${first}`)
      await until(() => bytes.length >= end + 4 + length, withinMs, 'whole body')
      const body = bytes.subarray(end + 4, end + 4 + length).toString()
      bytes = bytes.subarray(end + 4 + length)
      return { status, headers, body, json: () => JSON.parse(body) }
    },
    async closed(withinMs = 10_000) {
      const late = AbortSignal.timeout(withinMs)
      while (!isClosed) {
        await once(socket, 'news', { signal: late }).catch(() => {})
        assert.ok(!late.aborted || isClosed, `still open after ${withinMs} ms: ${bytes}`)
      }
      socket.destroy()
      return bytes.toString()
    },
    async silence(ms) {
      await delay(ms)
      return bytes.toString()
    },
  }
}

/** A request head for `POST /receive` with the right token. `null` leaves a header out; a list sends it several times. */
export function head(
  changes: Readonly<Record<string, string | number | null | readonly string[]>> = {},
  line = 'POST /receive HTTP/1.1',
): string {
  const headers = { host: 'receiver.test', 'x-node-token': token, ...changes }
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === null ? [] : (Array.isArray(value) ? value : [value]).map((each) => `${name}: ${each}`),
  )
  return [line, ...lines, '', ''].join('\r\n')
}

/** A whole request: head, Content-Length, and the envelope. */
export function request(
  envelope: unknown,
  changes: Readonly<Record<string, string | number | null>> = {},
  line?: string,
): string {
  const body = typeof envelope === 'string' ? envelope : JSON.stringify(envelope)
  return head({ 'content-length': Buffer.byteLength(body), ...changes }, line) + body
}

export const chunked = { 'transfer-encoding': 'chunked' }

export function chunk(text: string, extension = ''): string {
  return `${Buffer.byteLength(text).toString(16)}${extension}\r\n${text}\r\n`
}

/** Sends a text on a new connection in one write, and gives the answer. */
export async function answerAt(url: string, sent: string): Promise<WireAnswer> {
  const line = await wire(url)
  line.send(sent)
  const answer = await line.answer()
  line.socket.destroy()
  return answer
}

/** Sends a text, and gives the status and the name of the problem. The answer must be a problem document. */
export async function refusalAt(url: string, sent: string): Promise<[number, string]> {
  const answer = await answerAt(url, sent)
  return [answer.status, problemIn(answer)]
}

/** One receiver with one record for all tests of a file. It starts before the first test and stops after the last one. */
export function receiverOfFile(): Pick<Receiver, 'url' | 'dataDir'> {
  let receiver: Receiver
  before(async () => {
    receiver = await startReceiver()
    await receiver.post(vs01())
  })
  after(() => receiver.stop())
  return {
    get url() {
      return receiver.url
    },
    get dataDir() {
      return receiver.dataDir
    },
  }
}

/** `answerAt` and `refusalAt` for one receiver. */
export function asking(receiver: { readonly url: string }) {
  return {
    answerTo: (sent: string): Promise<WireAnswer> => answerAt(receiver.url, sent),
    refusalOf: (sent: string): Promise<[number, string]> => refusalAt(receiver.url, sent),
  }
}

/** Checks that an answer has the form of RFC 9457, and gives the name of the problem. */
export function problemIn(answer: WireAnswer): string {
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  const { type, title, status, detail, instance } = answer.json()
  assert.equal(status, answer.status)
  assert.equal(instance, answer.headers['x-request-id'])
  assert.ok(title && detail)
  return /^urn:civic-orchestrator:problem:([a-z-]+)$/.exec(String(type))?.[1] ?? assert.fail(String(type))
}
