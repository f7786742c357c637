/** A TCP connection to a receiver, for what fetch cannot send: bytes go out as they are, answers come back one by one. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Receiver, startReceiver, token, vs01 } from './receiver.ts'

export type Answer = {
  readonly status: number
  /** By lower-case name; a repeated header is an error here. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The body as JSON. */
  json(): Record<string, unknown>
}

export type Wire = {
  readonly socket: Socket
  send(...parts: readonly (string | Uint8Array)[]): void
  /** The next answer, `100 Continue` included; fails when it is not there in time, or is not HTTP/1.1. */
  answer(options?: { withinMs?: number; bodiless?: boolean }): Promise<Answer>
  /** Waits until the other side has closed; gives what came since the last answer. */
  closed(withinMs?: number): Promise<string>
  /** What came within this time and has not been taken as an answer. */
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
  // a reset ends a connection like any other end; what had come before counts
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
      // rejects for a reset, too; the end of the connection is then told as such
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

/** A whole request: head, its Content-Length, and the envelope. */
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

/** One connection, one write, one answer. */
export async function answerAt(url: string, sent: string): Promise<Answer> {
  const line = await wire(url)
  line.send(sent)
  const answer = await line.answer()
  line.socket.destroy()
  return answer
}

/** The status of an answer that has to be a problem document, and the problem's name. */
export async function refusalAt(url: string, sent: string): Promise<[number, string]> {
  const answer = await answerAt(url, sent)
  return [answer.status, problemIn(answer)]
}

/** One receiver for all tests of a file: started before the first of them, with one record, and stopped after the last. */
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
    answerTo: (sent: string): Promise<Answer> => answerAt(receiver.url, sent),
    refusalOf: (sent: string): Promise<[number, string]> => refusalAt(receiver.url, sent),
  }
}

/** Checks the RFC 9457 shape and gives the problem's name. */
export function problemIn(answer: Answer): string {
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  const { type, title, status, detail, instance } = answer.json()
  assert.equal(status, answer.status)
  assert.equal(instance, answer.headers['x-request-id'])
  assert.ok(title && detail)
  return /^urn:civic-orchestrator:problem:([a-z-]+)$/.exec(String(type))?.[1] ?? assert.fail(String(type))
}
