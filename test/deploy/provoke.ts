/**
 * Acts as a stranger and as a broken sender to a proxy in front of the receiver, over its TLS port. test/proxies.test.ts uses it, and
 * scripts/test-deploy.ts inside its machine.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'node:tls'
import { scn01 } from '../envelopes.ts'

export const serverName = 'receiver.example.org'

export type Behind = {
  /** The TLS port of the proxy. */
  readonly port: number
  readonly token: string
  /** Ends the receiver, and starts it again. */
  down(): Promise<void>
  up(): Promise<void>
}

type ProxyAnswer = {
  readonly status: number
  readonly text: string /** Each answer of the receiver has a request id. */
  readonly isFromReceiver: boolean
}

/** Targets that a proxy and the receiver could read as different paths. None of them accepts a post. */
const oddTargets = [
  '/metrics',
  '/ready',
  '/health',
  '/metrics/..%2freceive%2fx/..',
  '/ready/..%2freceive%2fx/..',
  '/health/..%2freceive%2fx/..',
  '/metrics/..%2Freceive',
  '/ready/%2e%2e/receive/../ready',
  '/receive/../metrics',
  '/receive/..%2fmetrics',
  '/receive/%2e%2e/ready',
  '/receive/%2e%2e%2fhealth',
  '/receive%2f..%2fready',
  '/receive/./../health',
  '/receive/..;/metrics',
  '/receive\\..\\metrics',
  '/receive;/../ready',
  '/receive/more',
  '//metrics',
  '/./metrics',
  '/%6detrics',
  '/%72eady',
  '/ready%00',
  '/ready?/receive',
  '/metrics#/receive',
  `http://${serverName}/metrics`,
  `http://${serverName}//ready`,
  'http://localhost/health',
]
/** Texts that only answers of /health, /ready and /metrics contain. */
const fromInside = /civic_|"ready"|not-ready|"status":"ok"|_associations/

const stalledSenders = 2
const largeBodies = 24
/** Stands for the status when the connection ended without one. */
const noAnswer = 499
/** Longer than any answer takes. Caddy 2.6.2 once left a connection open behind its whole answer; a sender notices nothing of that. */
const silenceMs = 60_000
const mib = 1024 * 1024

/** Makes all provocations, and gives the faults as sentences. */
export async function provoke(behind: Behind): Promise<string[]> {
  const wrong: string[] = []
  const expect = (isRight: boolean, what: string): void => {
    if (!isRight) wrong.push(what)
  }
  await reached(behind)
  const stalled = Array.from({ length: stalledSenders }, () => ask(behind, stalledPost(behind.token)))
  await plainPosts(behind, expect)
  await oddPaths(behind, expect)
  await largePosts(behind, expect)
  for (const { status } of await Promise.all(stalled))
    expect(status >= 400, `a body that stops was answered with ${status}`)
  await behind.down()
  const downs = await Promise.all(Array.from({ length: 3 }, () => ask(behind, post(behind.token))))
  for (const { status } of downs)
    expect(status === 502 || status === 503, `without a receiver a post was answered with ${status}`)
  await behind.up()
  await reached(behind)
  expect(
    (await ask(behind, post(behind.token))).status === 200,
    'the receiver is back, and its first record is not known',
  )
  return wrong
}

/** Waits until the proxy has started, or has noticed the receiver. If it never does, the next expectation fails and says so. */
async function reached(behind: Behind): Promise<void> {
  for (let n = 0; n < 600 && (await ask(behind, post('wrong'))).status !== 401; n++) await delay(100)
}

type Expect = (isRight: boolean, what: string) => void

async function plainPosts(behind: Behind, expect: Expect): Promise<void> {
  const first = await ask(behind, post(behind.token))
  expect(first.status === 201 || first.status === 200, `a post was answered with ${first.status}`)
  for (const target of ['/receive/', '/receive?a=b']) {
    const { status } = await ask(behind, post(behind.token, target))
    expect(status === 200, `${target} was answered with ${status}`)
  }
  const refused = await ask(behind, post('wrong'))
  expect(
    refused.status === 401 && refused.isFromReceiver,
    `a wrong token was answered with ${refused.status}`,
  )
}

async function oddPaths(behind: Behind, expect: Expect): Promise<void> {
  for (const target of oddTargets)
    for (const method of ['GET', 'POST']) {
      const { status, text, isFromReceiver } = await ask(behind, request(method, target, behind.token))
      // Caddy answers a request for another host's name with 200 and nothing.
      expect(
        status >= 400 || !isFromReceiver,
        `${method} ${target} was answered by the receiver, with ${status}`,
      )
      expect(!fromInside.test(text), `${method} ${target} reached something inside`)
    }
}

async function largePosts(behind: Behind, expect: Expect): Promise<void> {
  for (let n = 0; n < largeBodies; n++) {
    const { status, text } = await curl(behind, behind.token, 2 * mib, n % 2 === 1)
    const isRight = status === 413 && text.includes('urn:civic-orchestrator:problem:body-too-large')
    expect(isRight, `a body of 2 MiB was answered with ${status}, and not by the receiver's 413`)
  }
  const beyond = await curl(behind, behind.token, 9 * mib, false)
  expect(beyond.status >= 400, `a body of 9 MiB was answered with ${beyond.status}`)
  // The stranger may get any answer, but nothing of the request may be accepted.
  const strange = await curl(behind, 'wrong', 2 * mib, false)
  expect(strange.status >= 400, `a large body without the token was answered with ${strange.status}`)
}

/** Posts as PHP does, by curl, which looks for an answer while it still sends, and stops sending when there is one. */
async function curl(
  { port }: Behind,
  token: string,
  bytes: number,
  isChunked: boolean,
): Promise<Pick<ProxyAnswer, 'status' | 'text'>> {
  const url = `https://${serverName}:${port}/receive`
  const headers = [`X-Node-Token: ${token}`, 'Expect:', ...(isChunked ? ['Transfer-Encoding: chunked'] : [])]
  const args = ['-sk', '--http1.1', '--resolve', `${serverName}:${port}:127.0.0.1`, '-w', '\\n%{http_code}']
  const child = spawn(
    'curl',
    [...args, ...headers.flatMap((header) => ['-H', header]), '--data-binary', '@-', url],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  child.stdin.on('error', () => {})
  child.stdin.end(Buffer.alloc(bytes, ' '))
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  await once(child, 'close')
  const end = said.lastIndexOf('\n')
  return { status: Number(said.slice(end + 1)) || noAnswer, text: said.slice(0, end) }
}

function post(token: string, target = '/receive'): Buffer[] {
  const body = Buffer.from(JSON.stringify(scn01()))
  return [...request('POST', target, token, `Content-Length: ${body.length}\r\n`), body]
}

function stalledPost(token: string): Buffer[] {
  return [...request('POST', '/receive', token, 'Content-Length: 1000\r\n'), Buffer.from('{"addon":')]
}

function request(method: string, target: string, token: string, more = ''): Buffer[] {
  const length = method === 'POST' && more === '' ? 'Content-Length: 0\r\n' : more
  return [
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\nHost: ${serverName}\r\nConnection: close\r\nX-Node-Token: ${token}\r\n${length}\r\n`,
      'latin1',
    ),
  ]
}

/** Sends on one connection, and gives everything that came back on it. */
async function ask({ port }: Behind, parts: readonly Buffer[]): Promise<ProxyAnswer> {
  const socket = connect({ host: '127.0.0.1', port, servername: serverName, rejectUnauthorized: false })
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  // The proxy may not be there yet, or may reset the connection.
  socket.on('error', () => {})
  socket.setTimeout(silenceMs, () => socket.destroy())
  for (const part of parts) socket.write(part)
  await new Promise((resolve) => socket.once('close', resolve))
  const text = Buffer.concat(chunks).toString('latin1')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? noAnswer)
  return { status, text, isFromReceiver: /^x-request-id: /im.test(text) }
}
