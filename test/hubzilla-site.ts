/**
 * A site for the tests of the PHP client: a token file, a data directory, a spool, the client in PHP processes, and the real receiver.
 * `CIVIC_PHP` names another PHP than the one in the PATH; `FULL=1` runs the long forms.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { JsonObject } from '../contracts/contract.ts'
import { freePort } from './bound.ts'
import { recordsPath, sha256 } from './disk.ts'
import { scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const fixtures = join(root, 'test/fixtures/hubzilla')
export const client = join(root, 'deploy/hubzilla')
/** The node token of the site and of its receiver. */
export const token = 'test-token-'.padEnd(40, 't')
export const full = process.env.FULL === '1'
export const php = process.env.CIVIC_PHP ?? 'php'
const found = spawnSync(php, ['-r', 'echo PHP_VERSION_ID, extension_loaded("curl") ? " curl" : "";'])
export const skip =
  found.error || !String(found.stdout).endsWith('curl') ? 'php with curl is not installed' : false

export type ClientAnswer = {
  readonly result: 'stored' | 'refused' | 'not_reached'
  readonly status: number
  readonly detail: string
  readonly cause: string
  readonly kept: boolean
  readonly reference: string
  readonly receipt?: {
    readonly outcome: string
    readonly sequence?: number
    readonly warnings?: readonly { readonly pointer: string; readonly detail: string }[]
  }
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[]
}

type Wait = { readonly reference: string; readonly cause: string; readonly detail: string }
export type Status = {
  readonly waiting: number
  readonly oldest_seconds: number
  readonly bytes: number
  readonly problem: string
  readonly waits: readonly Wait[]
  readonly refused: Readonly<Record<string, ClientAnswer>>
  readonly refused_count: number
}

export type Site = ReturnType<typeof place>

export function place(t: TestContext, spool?: string) {
  const dir = scratchDir()
  const running = new Set<ChildProcess>()
  t.after(async () => {
    for (const child of running) await killed(child)
  })
  writeFileSync(join(dir, 'token'), `${token}\n`)
  const log: string[] = []
  const site = {
    dir,
    data: join(dir, 'data'),
    spool: spool ?? join(dir, 'spool'),
    port: 0,
    url: '',
    env: {} as Record<string, string>,
    /** The standard error of PHP: its log, and complaints. */
    log,
    drive(...command: string[]) {
      return site.program(php, join(fixtures, 'drive.php'), ...command)
    },
    program(program: string, ...args: string[]) {
      const env = {
        ...process.env,
        CIVIC_URL: site.url,
        CIVIC_TOKEN_FILE: join(dir, 'token'),
        CIVIC_SPOOL: site.spool,
        ...site.env,
      }
      const child = spawn(program, args, { env, cwd: dir })
      running.add(child)
      child.once('exit', () => running.delete(child))
      child.stdin.on('error', () => {})
      child.stderr.on('data', (chunk) => log.push(String(chunk)))
      return child
    },
    /** Runs a command to its end, and gives one answer for each line that it prints. */
    async say<T>(command: string[], ...lines: unknown[]): Promise<T[]> {
      const child = site.drive(...command)
      const out = text(child.stdout)
      child.stdin.end(lines.map((line) => JSON.stringify(line)).join('\n'))
      const [code] = await once(child, 'close')
      assert.equal(code, 0, log.join(''))
      return (await out).split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as T]))
    },
    submit: (...envelopes: unknown[]) => site.say<ClientAnswer>(['submit'], ...envelopes),
    /** Posts all submissions that wait, whether they are due or not. */
    run: async () => (await site.say<Status>(['run', 'force']))[0]!,
    /** Posts the submissions that are due, as cron does. */
    cron: async () => (await site.say<Status>(['run']))[0]!,
    status: async () => (await site.say<Status>(['status']))[0]!,
    eval: <T>(script: string) => site.say<T>(['eval'], { script }),
    waiting: () =>
      existsSync(site.spool) ? readdirSync(site.spool).filter((name) => /^\d.*\.json$/.test(name)) : [],
    refused: () => readdirSync(join(site.spool, 'refused')).filter((name) => name.endsWith('.json')),
    records(slug = 'heron-ridge'): JsonObject[] {
      const file = recordsPath(site.data, slug)
      return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as JsonObject[]) : []
    },
    record: (addon: string, id: string, slug = 'heron-ridge'): JsonObject =>
      JSON.parse(readFileSync(join(site.data, addon, slug, `${id}.json`), 'utf8')),
    /** Starts the receiver, on the same port each time. */
    async start(more: Record<string, string> = {}) {
      if (!site.port) site.at(await freePort())
      const env = { NODE_TOKEN: token, DATA_DIR: site.data, PORT: String(site.port), ...more }
      return (await startReceiver(env)).process
    },
    at(port: number) {
      site.port = port
      site.url = `http://127.0.0.1:${port}/receive`
    },
  }
  // The client does not make a spool as root, so the test makes it.
  if (spool === undefined) mkdirSync(site.spool, { mode: 0o700 })
  return site
}

/** Writes the settings of a Hubzilla for this site, and gives the environment in which drive.php finds them. */
export function hubzilla(site: Site, system: object = {}): Record<string, string> {
  const home = join(site.dir, 'home')
  mkdirSync(join(home, 'web'), { recursive: true })
  const civic_receiver = { url: site.url, token_file: join(site.dir, 'token'), spool: site.spool }
  const settings = { system: { baseurl: 'https://hub.example', ...system }, civic_receiver }
  writeFileSync(join(home, 'settings.json'), JSON.stringify(settings))
  return { HUBZILLA_HOME: home }
}

/** The calls that the client made to Hubzilla: mails, hooks, notices, posts. */
export function told(site: Site): [kind: string, what: unknown][] {
  const file = join(site.dir, 'home', 'told.jsonl')
  return existsSync(file)
    ? readFileSync(file, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
    : []
}

export async function text(stream: AsyncIterable<unknown>): Promise<string> {
  const all: Buffer[] = []
  for await (const chunk of stream) all.push(Buffer.from(chunk as Uint8Array))
  return Buffer.concat(all).toString()
}

export async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.ref()
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** Starts a server on loopback that answers as the test wants, and returns its port. */
export async function loopback(
  t: TestContext,
  answer: (q: IncomingMessage, body: Buffer, r: ServerResponse) => void,
) {
  const server = createServer(async (q, r) => {
    const body: Buffer[] = []
    for await (const chunk of q) body.push(chunk as Buffer)
    answer(q, Buffer.concat(body), r)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Passes a request on to the receiver. The answer goes to `then`. */
export function forward(
  port: number,
  q: IncomingMessage,
  body: Buffer,
  then: (status: number, body: string, type: string) => void,
) {
  const onward = request({ port, host: '127.0.0.1', method: 'POST', path: q.url, headers: q.headers })
  onward.on('error', () => then(502, '', 'text/html'))
  onward.on('response', async (answer) =>
    then(answer.statusCode ?? 0, await text(answer).catch(() => ''), answer.headers['content-type'] ?? ''),
  )
  onward.end(body)
}

/** Answers with a problem document, as the receiver does. */
export function refuse(r: ServerResponse, status: number, name = 'bad-envelope', more: object = {}) {
  const type = `urn:civic-orchestrator:problem:${name}`
  const text = JSON.stringify({ type, title: name, status, detail: 'a sentence', ...more })
  r.writeHead(status, { 'content-type': 'application/problem+json' }).end(text)
}

/** Answers as a receiver that has stored a vs01 envelope. `lie` alters the receipt. */
export function store(r: ServerResponse, body: Buffer, lie: object = {}) {
  const { addon, association_slug, participant_id } = JSON.parse(String(body))
  const receipt = { status: 'stored', outcome: 'created', addon, association_slug, participant_id, ...lie }
  r.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(receipt))
}

export const address = 'SASE1-22c-at-5sb-8hm-54v'
export const otherAddress = '22c@5sb-8hm-54v'

export const scn = (narrative: string, association_slug = 'heron-ridge') =>
  scn01({ narrative, association_slug, submitted_at: new Date().toISOString() })

export const vs = (note: string, more: object = {}) =>
  vs01({ fields: { ho_notes: note }, submitted_at: new Date().toISOString(), ...more })

export const narratives = (site: Site) =>
  site
    .records()
    .map((record) => String(record.narrative))
    .sort()

export const noteOf = (site: Site) => (site.record('vs01', address).fields as { ho_notes: string }).ho_notes

export { sha256 }
