/**
 * A proxy sends the posts of the token's holder and the requests of strangers to the same receiver. Whatever the strangers send, each post of
 * the holder is stored. Node's own client plays a proxy that keeps its connections, unlike those in deploy/proxy.
 */
import assert from 'node:assert/strict'
import { Agent, type OutgoingHttpHeaders, request } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { serverName } from './deploy/provoke.ts'
import { inFrontOfReceiver, missing, proxies } from './deploy/proxies.ts'
import { scn01, startReceiver, token, wrongToken } from './receiver.ts'

type Sent = {
  readonly method?: string
  readonly path?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body: string | Buffer
}
type Ask = (sent: Sent) => Promise<number | string>

/** More bytes than the receiver reads after the refusal of a stranger, and fewer than a socket accepts before anybody reads them. */
const large = Buffer.alloc(100_000, ' ')
const rounds = 5

/** Sends requests on one connection after the other, each kept as long as the other side allows. Gives the status, or why there is none. */
function asking(port: number, isTls: boolean): { readonly ask: Ask; end(): void } {
  const settings = { keepAlive: true, maxSockets: 1, rejectUnauthorized: false, servername: serverName }
  const agent = isTls ? new TlsAgent(settings) : new Agent(settings)
  const ask: Ask = ({ method = 'POST', path = '/receive', headers, body }) =>
    new Promise((resolve) => {
      const length = headers?.['transfer-encoding'] ? {} : { 'content-length': body.length }
      const all = { host: serverName, ...length, ...headers }
      const protocol = isTls ? 'https:' : 'http:'
      const options = { agent, protocol, host: '127.0.0.1', port, path, method, headers: all }
      const sending = request(options, (answer) => {
        answer.resume()
        answer.once('end', () => resolve(answer.statusCode ?? 0))
      })
      sending.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)))
      sending.end(body)
    })
  return { ask, end: () => agent.destroy() }
}

const strangers: readonly (readonly [status: number, sent: Sent])[] = [
  [401, { body: '' }],
  [401, { body: '{}', headers: { 'x-node-token': wrongToken } }],
  [401, { body: large }],
  [401, { body: large, headers: { 'transfer-encoding': 'chunked' } }],
  [401, { body: '{}', headers: { 'x-node-token': [token, token] } }],
  [404, { body: large, path: '/nowhere' }],
  [405, { body: large, method: 'PUT' }],
  [200, { body: large, method: 'GET', path: '/health' }],
  [417, { body: large, headers: { expect: 'a-miracle' } }],
  [431, { body: large, headers: { many: Array.from({ length: 101 }, () => 'x') } }],
  [400, { body: large, headers: { host: 'user@host' } }],
  [501, { body: large, headers: { 'transfer-encoding': 'gzip, chunked' } }],
]
/** Requests of the token's holder that are refused before the body is read. */
const refused: typeof strangers = [
  [413, { body: Buffer.alloc(2 * 1024 * 1024, ' '), headers: { 'x-node-token': token } }],
  [415, { body: large, headers: { 'x-node-token': token, 'content-encoding': 'gzip' } }],
]

function post(narrative: string): Sent {
  return { body: JSON.stringify(scn01({ narrative })), headers: { 'x-node-token': token } }
}

test('connections (2): a client that keeps its connections loses no post behind what was refused', async () => {
  const receiver = await startReceiver()
  const port = Number(new URL(receiver.url).port)
  for (const [n, [status, sent]] of [...strangers, ...refused].entries()) {
    const { ask, end } = asking(port, false)
    const answers = [await ask(sent), await ask(post(`${n}`))]
    assert.deepEqual(answers, [status, 201], JSON.stringify([sent.path, sent.headers]))
    end()
  }
  await receiver.stop()
})

for (const proxy of proxies)
  describe(`${proxy.program} with deploy/proxy/${proxy.source}`, { skip: missing(proxy) }, () => {
    const front = inFrontOfReceiver(proxy)

    test('stores each post of the holder behind large bodies of strangers', async () => {
      const { host } = front
      const holder = asking(host.port, true)
      while ((await holder.ask({ body: '' })) !== 401) {
        assert.equal(front.proxy.exitCode, null, front.said)
        await delay(50)
      }
      const answers: (number | string)[] = []
      for (let n = 0; n < rounds; n++) {
        const stranger = asking(host.port, true)
        answers.push(await stranger.ask({ body: large }), await holder.ask(post(`${n}`)))
        stranger.end()
      }
      holder.end()
      assert.deepEqual(
        answers,
        answers.map((_, n) => (n % 2 === 0 ? 401 : 201)),
      )
    })
  })
