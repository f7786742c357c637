/**
 * Input: bodies from a grammar, right and spoilt, framed in right and wrong ways, against a real receiver over raw
 * sockets. Every answer is compared with what `oracle.ts` works out from the specification, and every stored record is
 * read back and compared with what was sent.
 *
 * Wrong are: an answer of 5xx, an answer other than expected, no answer within 10 s, a record that differs from what was
 * sent, a file of another shape than the two permitted, memory or sockets that grow, a line in the log that calls for
 * somebody or holds the token.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { token } from '../receiver.ts'
import { type Answer, Answers } from './answers.ts'
import { type Grammar, grammar } from './bodies.ts'
import { judge, type Verdict } from './oracle.ts'
import type { Part, Row, Run } from './part.ts'
import { type Random, random } from './random.ts'

const fullCount = 1_000_000
const lanes = 6
const depth = 32
/** Posts of each lane between two looks at the disk. */
const posts = 256
const shotsAtOnce = 12
const slowAtOnce = 24
/** Small, so that the limit is met often. */
const maxBody = 65_536
const answerMs = 10_000
/** What a machine may add on which many others want the processor; the slowest answer is in the notes. */
const ownLagMs = 5_000
/**
 * Refused without a look at the body. If that has not come half a second later, as when either side was stalled, the receiver
 * ends the connection, and answers that this side has not read by then are lost with it.
 */
const beforeBody: ReadonlySet<number> = new Set([401, 404, 405, 413, 415])
const tokenSha256 = createHash('sha256').update(token).digest('hex')

type Stored = Extract<Verdict, { status: 'stored' }>
type Expected = { readonly status: number } | { readonly verdict: Stored }
type Post = { readonly bytes: Buffer; readonly expected: Expected }
const cutKind = 'cut after a refusal'
const isRefusedBeforeBody = ({ post: { expected } }: { readonly post: Post }): boolean =>
  'status' in expected && beforeBody.has(expected.status)

export const part: Part = {
  name: 'input',
  missing: async () =>
    existsSync('/proc/self/fd') ? undefined : 'needs /proc, to look at memory and open sockets',
  async run(run) {
    const data = join(run.scratch, 'data')
    mkdirSync(data)
    const receiver = await start(data)
    const tally = new Tally()
    const total = Math.max(2_000, Math.round(fullCount * run.share))
    try {
      await tryAll(run, receiver, data, tally, total)
    } finally {
      receiver.child.kill('SIGTERM')
      if (receiver.child.exitCode === null) await once(receiver.child, 'exit')
    }
    if (receiver.child.exitCode !== 0) tally.note('end', `exit code ${receiver.child.exitCode}`)
    for (const line of receiver.alarms) tally.note('log', line)
    for (const path of strangers(run.scratch)) tally.note('file', path)
    tally.unreadable += unreadableIn(data)
    return tally.rows()
  },
}

type Source = { readonly choose: Random; readonly bodies: Grammar }

/** Rounds of pipelined posts, each followed by a look at the disk; one-off connections and slow senders beside them. */
async function tryAll(run: Run, receiver: Started, data: string, tally: Tally, total: number): Promise<void> {
  // each has its own numbers, so that a seed gives the same input however the answers come
  const sources = Array.from({ length: lanes + 2 }, (_, n) => random(run.seed * 16 + n)).map((choose) => ({
    choose,
    bodies: grammar(choose, tokenSha256),
  }))
  const [forShots, forSlow] = sources.slice(lanes) as [Source, Source]
  // not all for one file, where each would wait for all before it
  let [shots, slow] = [0, 0]
  const disk = new Disk(data, tally)
  const counts = { shots: Math.round(total * 0.06), slow: Math.max(24, Math.round(total * 0.001)) }
  const isOver = (): boolean => performance.now() >= run.until
  const url = { port: receiver.port, tally }
  const aside = Promise.all([
    inTurns(counts.shots, shotsAtOnce, isOver, () =>
      shoot(url, shot(forShots.choose, forShots.bodies.right(shots++ % 192))),
    ),
    inTurns(counts.slow, slowAtOnce, isOver, () =>
      slowSender(url, forSlow.choose, forSlow.bodies.right(slow++ % 192)),
    ),
  ])
  const bulk = total - counts.shots - counts.slow
  const connections: (Lane | undefined)[] = Array.from({ length: lanes }, () => undefined)
  const memory: number[] = []
  for (let done = 0; done < bulk && !isOver(); done += lanes * posts) {
    const accepted: Accepted[] = []
    const left = Math.ceil(Math.min(posts, (bulk - done) / lanes))
    await Promise.all(
      connections.map(async (_, n) => {
        const lane = connections[n] ?? (await Lane.to(receiver.port))
        const { choose, bodies } = sources[n] as Source
        const next = (at: number): Post => post(choose, bodies, n * depth + (at % depth), at === left - 1)
        connections[n] = await lane.send(left, next, tally, accepted)
      }),
    )
    disk.check(accepted)
    memory.push(residentMb(receiver.child))
    run.progress(Math.min(tally.cases, total), total)
  }
  await aside
  for (const lane of connections) lane?.socket.destroy()
  await delay(1_000)
  tally.lookAtMemory(memory)
  tally.lookAtCuts()
  const open = socketsOf(receiver.child)
  if (open > receiver.sockets) tally.note('sockets', `${receiver.sockets} at first, ${open} at the end`)
  disk.end()
}

/** A post whose answer is known: mostly a body, sometimes with a head that is refused before it. */
function post(choose: Random, bodies: Grammar, slot: number, isLast: boolean): Post {
  const body = bodies.body(slot)
  const headers: string[] = ['host: r']
  let [method, path] = ['POST', choose.of(['/receive', '/receive', '/receive', '/receive/', '/receive?a=b'])]
  let refusal: number | undefined
  const refuse = (status: number): void => {
    refusal ??= status
  }
  const oddity = choose.oneIn(10) ? choose.below(9) : -1
  // in the order of SPEC 2; a second oddity is met only when the first is not there
  if (oddity === 0 || (oddity > 0 && choose.oneIn(9))) {
    path = choose.of(['/', '/received', '/receive/x', '//receive', '/%', '/receive%00'])
    refuse(404)
  }
  if (oddity === 1) {
    method = choose.of(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'QUERY', 'PROPFIND'])
    refuse(405)
  }
  const secret =
    oddity === 2 ? choose.of(['', 'x', token.slice(1), `${token}x`, token.toUpperCase(), '"']) : token
  if (secret !== token) refuse(401)
  if (choose.oneIn(8)) {
    headers.push(`authorization: Bearer ${secret}`)
  } else headers.push(`x-node-token: ${secret}`)
  if (oddity === 3) {
    headers.push(`content-encoding: ${choose.of(['gzip', 'br', 'x', 'identity, gzip'])}`)
    refuse(415)
  }
  if (choose.oneIn(6))
    headers.push(
      choose.of([
        'content-encoding: identity',
        'accept: */*',
        'cookie: a=b',
        'x-request-id: \xe9',
        'content-type: application/x-www-form-urlencoded',
        'connection: keep-alive',
        'upgrade: h2c',
        'te: trailers',
        'range: bytes=0-1',
        'if-match: "x"',
      ]),
    )
  if (isLast && choose.oneIn(4)) headers.push('expect: 100-continue')
  const isChunked = choose.oneIn(4)
  if (body.length > maxBody) refuse(413)
  headers.push(isChunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`)
  const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1')
  const bytes = Buffer.concat([head, isChunked ? chunked(choose, body) : body])
  return { bytes, expected: refusal === undefined ? expectedOf(body) : { status: refusal } }
}

function expectedOf(body: Buffer): Expected {
  const verdict = judge(body, tokenSha256)
  return verdict.status === 'stored' ? { verdict } : verdict
}

function chunked(choose: Random, body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, 1 + choose.below(choose.of([4, 200, 70_000])))
    const extension = choose.oneIn(8) ? choose.of([';a', ';a=b', ';a="b;c"']) : ''
    parts.push(
      Buffer.from(`${size.toString(16)}${extension}\r\n`),
      body.subarray(at, at + size),
      Buffer.from('\r\n'),
    )
    at += size
  }
  const trailer = choose.oneIn(8) ? 'x-trailer: y\r\n' : ''
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)])
}

/** Without an answer: it may be on disk or not. */
type Accepted = { readonly verdict: Stored; readonly answer?: Receipt }
type Receipt = {
  readonly outcome: string
  readonly received_at: string
  readonly id?: string
  readonly sequence?: number
  readonly record_sha256?: string
  readonly previous_sha256?: string
}

/** One kept-alive connection with posts in a pipeline. */
class Lane {
  readonly socket: Socket
  readonly #answers = new Answers()
  #came: Answer[] = []
  #news: () => void = () => {}
  #isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#came.push(...this.#answers.take(chunk))
      this.#news()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
      this.#news()
    })
  }

  static async to(port: number): Promise<Lane> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new Lane(socket)
  }

  /** Gives itself when the connection can be used again. */
  async send(
    count: number,
    post: (at: number) => Post,
    tally: Tally,
    accepted: Accepted[],
  ): Promise<Lane | undefined> {
    const waiting: { readonly post: Post; readonly at: number }[] = []
    const failed = (what: string): undefined => {
      tally.note(what, `${waiting.length} unanswered, first: ${shown(waiting[0]!.post.bytes)}`)
      this.socket.destroy()
    }
    /** What was sent and not answered may have been stored: it counts as accepted without an answer. */
    const cut = (): undefined => {
      if (!beforeBody.has(lastStatus) && !waiting.some(isRefusedBeforeBody)) return failed('closed early')
      tally.answered(cutKind, 0)
      for (const { post } of waiting) {
        if ('verdict' in post.expected) accepted.push({ verdict: post.expected.verdict })
      }
      this.socket.destroy()
    }
    let lastStatus = 0
    let sent = 0
    while (sent < count || waiting.length > 0) {
      const fresh: Buffer[] = []
      while (sent < count && waiting.length < depth) {
        const next = post(sent++)
        waiting.push({ post: next, at: performance.now() })
        fresh.push(next.bytes)
      }
      if (fresh.length > 0) this.socket.write(Buffer.concat(fresh))
      for (const answer of this.#came.splice(0)) {
        if (answer.status === 100) continue
        const first = waiting.shift()
        if (!first) return failed('an answer to nothing')
        compare(answer, first.post.bytes, first.post.expected, tally, accepted)
        tally.answered('pipelined', performance.now() - first.at)
        lastStatus = answer.status
        if (!answer.closes) continue
        this.socket.destroy()
        if (sent < count || waiting.length > 0) tally.note('closed early', `after ${shown(first.post.bytes)}`)
        return undefined
      }
      if (waiting.length === 0 || (sent < count && waiting.length < depth)) continue
      if (this.#isClosed) return cut()
      if (await this.#isSilent()) return failed('hung')
    }
    return this
  }

  /** Waits for news; true when there was none for as long as an answer may take. */
  #isSilent(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, answerMs + ownLagMs, true)
      this.#news = () => {
        clearTimeout(timer)
        resolve(false)
      }
    })
  }
}

/** Counts what is wrong with an answer; a receipt is kept for the look at the disk. */
function compare(
  answer: Answer,
  bytes: Buffer,
  expected: Expected,
  tally: Tally,
  accepted: Accepted[],
): void {
  const json = JSON.parse(answer.body)
  const why =
    'verdict' in expected ? unlike(expected.verdict, answer, json) : unlikeRefusal(expected, answer, json)
  if (why !== undefined) tally.note(why, `${answer.status} ${answer.body.slice(0, 300)} to ${shown(bytes)}`)
  else if ('verdict' in expected) accepted.push({ verdict: expected.verdict, answer: json })
}

function unlikeRefusal(
  expected: { status: number },
  answer: Answer,
  json: Record<string, unknown>,
): string | undefined {
  if (answer.status !== expected.status) return answer.status >= 500 ? '5xx' : `not ${expected.status}`
  const isProblem =
    /^urn:civic-orchestrator:problem:[a-z-]+$/.test(String(json.type)) &&
    json.status === answer.status &&
    typeof json.instance === 'string'
  return isProblem ? undefined : 'problem'
}

function unlike(
  { record, addon, id }: Stored,
  answer: Answer,
  json: Record<string, unknown>,
): string | undefined {
  if (answer.status !== 200 && answer.status !== 201) return answer.status >= 500 ? '5xx' : 'not stored'
  const isNew = json.outcome === 'created' || json.outcome === 'appended'
  const isReceipt =
    json.status === 'stored' &&
    isNew === (answer.status === 201) &&
    json.addon === addon &&
    json.association_slug === record.association_slug &&
    json.participant_id === record.participant_id &&
    json.id === id
  return isReceipt ? undefined : 'receipt'
}

function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.subarray(0, 600).toString('latin1'))
}

/** What is on disk, compared with what was accepted. */
class Disk {
  readonly #data: string
  readonly #tally: Tally
  readonly #files = new Map<string, RecordsFile>()

  constructor(data: string, tally: Tally) {
    this.#data = data
    this.#tally = tally
  }

  check(accepted: readonly Accepted[]): void {
    for (const [path, group] of grouped(accepted)) {
      if (path.startsWith('scn01/')) {
        if (group.some(({ answer }) => answer)) this.#readOn(path)
        for (const each of group) this.#checkLine(path, each)
      } else this.#checkFile(path, group)
    }
  }

  #checkFile(path: string, group: readonly Accepted[]): void {
    if (group.every(({ answer }) => !answer)) return
    const text = readFileSync(join(this.#data, path), 'utf8')
    const { receipt, ...record } = JSON.parse(text)
    const isOne = group.some(
      ({ verdict, answer }) =>
        (!answer || answer.received_at === receipt?.received_at) && isDeepStrictEqual(record, verdict.record),
    )
    if (!isOne || !text.endsWith('}\n'))
      this.#tally.lost('overwrite', `${path} is none of ${group.length} accepted`)
  }

  #checkLine(path: string, { verdict, answer }: Accepted): void {
    if (!answer) return
    const found = this.#files.get(path)?.lines.get(verdict.id as string)
    if (!found) {
      this.#tally.lost('append', `${path} has no ${verdict.id}`)
      return
    }
    const line = read(join(this.#data, path), found.at, found.length).toString()
    const { receipt, ...record } = JSON.parse(line)
    const isSame =
      isDeepStrictEqual(record, verdict.record) &&
      answer.sequence === found.sequence &&
      answer.sequence === receipt.sequence &&
      answer.received_at === receipt.received_at &&
      answer.previous_sha256 === receipt.previous_sha256 &&
      answer.record_sha256 === sha256(line)
    if (!isSame) this.#tally.lost('append', `${path} line ${found.sequence} is not what was acknowledged`)
  }

  /** The lines that are new, their chain, and whether an id is there twice. */
  #readOn(path: string): void {
    const file = this.#files.get(path) ?? { size: 2, last: '0'.repeat(64), lines: new Map() }
    this.#files.set(path, file)
    const whole = join(this.#data, path)
    const end = statSync(whole).size - 3
    let at = file.size
    for (const line of read(whole, at, end - at)
      .toString()
      .split('\n')) {
      const text = line.replace(/,$/, '')
      const length = Buffer.byteLength(text)
      if (text !== '') {
        const { receipt } = JSON.parse(text)
        const sequence = file.lines.size + 1
        if (file.lines.has(receipt.id)) this.#tally.duplicated++
        else if (receipt.previous_sha256 !== file.last || receipt.sequence !== sequence)
          this.#tally.note('chain', `${path} line ${sequence}`)
        file.last = sha256(text)
        file.lines.set(receipt.id, { sequence, at, length })
      }
      at += Buffer.byteLength(line) + 1
    }
    file.size = end
  }

  end(): void {
    for (const path of this.#files.keys()) this.#readOn(path)
  }
}

/** A records file, as far as it was read: the chain at that point, and where each record is. */
type RecordsFile = {
  size: number
  last: string
  readonly lines: Map<string, { readonly sequence: number; readonly at: number; readonly length: number }>
}

function read(path: string, at: number, length: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    readSync(fd, bytes, 0, length, at)
    return bytes
  } finally {
    closeSync(fd)
  }
}

function grouped(accepted: readonly Accepted[]): Map<string, Accepted[]> {
  const groups = new Map<string, Accepted[]>()
  for (const each of accepted) {
    const group = groups.get(each.verdict.path)
    if (group) group.push(each)
    else groups.set(each.verdict.path, [each])
  }
  return groups
}

type Shot = {
  readonly kind: string
  readonly parts: readonly Buffer[]
  /** How the sender ends; `wait`: not before the receiver does. */
  readonly end: 'end' | 'destroy' | 'reset' | 'wait'
  /** The statuses that may come, in order; undefined when any but a fault of the receiver will do. */
  readonly statuses?: readonly number[]
}

/** One connection with something wrong about it. Its envelopes are of associations of their own. */
function shot(choose: Random, right: Buffer): Shot {
  const body = Buffer.from(
    right.toString().replace(/"association_slug":"[^"]*"/, '"association_slug":"shot"'),
  )
  const head = (more: string, line = 'POST /receive HTTP/1.1'): Buffer =>
    Buffer.from(`${line}\r\nhost: r\r\nx-node-token: ${token}\r\n${more}\r\n`, 'latin1')
  const whole = Buffer.concat([head(`content-length: ${body.length}\r\n`), body])
  const kinds: readonly (() => Shot)[] = [
    () => ({ kind: 'mutated', parts: [mutated(choose, whole)], end: 'end' }),
    () => ({
      kind: 'mutated',
      parts: [
        mutated(choose, Buffer.concat([head('transfer-encoding: chunked\r\n'), chunked(choose, body)])),
      ],
      end: 'end',
    }),
    () => ({
      kind: 'aborted',
      parts: [whole.subarray(0, choose.below(whole.length))],
      end: choose.of(['end', 'destroy', 'reset']),
    }),
    () => ({
      kind: 'aborted',
      parts: [
        head('transfer-encoding: chunked\r\n'),
        Buffer.from(`${(body.length + 9).toString(16)}\r\n`),
        body,
      ],
      end: choose.of(['end', 'destroy', 'reset']),
    }),
    () => ({ kind: 'gone', parts: [whole], end: choose.of(['destroy', 'reset']) }),
    () => ({
      kind: 'lying, too long',
      parts: [head(`content-length: ${body.length + 1 + choose.below(999)}\r\n`), body],
      end: choose.of(['end', 'reset']),
    }),
    () => {
      const length = choose.below(body.length)
      const verdict = judge(body.subarray(0, length), tokenSha256)
      const status = verdict.status === 'stored' ? 200 : verdict.status
      return {
        kind: 'lying, too short',
        parts: [head(`content-length: ${length}\r\n`), body],
        end: 'wait',
        statuses: [status, 400],
      }
    },
    () => ({
      kind: 'two lengths',
      parts: [
        head(
          choose.of([
            `content-length: 5\r\ncontent-length: 6\r\n`,
            `content-length: ${body.length}\r\ntransfer-encoding: chunked\r\n`,
            `transfer-encoding: chunked\r\ncontent-length: 0\r\n`,
            'content-length: -1\r\n',
            'content-length: 1e3\r\n',
            `content-length: ${'9'.repeat(30)}\r\n`,
          ]),
        ),
        body,
        whole,
      ],
      end: 'wait',
      statuses: [400],
    }),
    () => ({
      kind: 'another coding',
      parts: [
        head(choose.of(['transfer-encoding: chunked, gzip\r\n', 'transfer-encoding: x\r\n'])),
        body,
        whole,
      ],
      end: 'wait',
      statuses: [501],
    }),
    () => ({
      kind: 'no HTTP',
      parts: [
        choose.of([
          choose.bytes(1 + choose.below(300)),
          Buffer.from('\x16\x03\x01\x02\x00', 'latin1'),
          Buffer.from('GET /\r\n\r\n'),
          Buffer.from('POST /receive HTTP/1.1\nhost: r\n\n'),
          Buffer.from('\r\n\r\n\r\nPOST'),
          Buffer.from('SSH-2.0-x\r\n'),
        ]),
      ],
      end: 'end',
    }),
    () => ({
      kind: 'head too large',
      parts: [
        head(
          choose.of([`a: ${'x'.repeat(17_000 + choose.below(50_000))}\r\n`, 'aaaa: bbbb\r\n'.repeat(3_000)]),
        ),
        body,
      ],
      end: 'wait',
      statuses: [431],
    }),
    () => ({
      kind: 'odd head',
      parts: [
        head(
          choose.of([
            'expect: x\r\n',
            'host: two\r\n',
            'connection: close, x\r\n',
            'a:\r\n',
            ': b\r\n',
            'a b: c\r\n',
            'a: \0\r\n',
            ' folded\r\n',
            'x-node-token: again\r\n',
            'upgrade: websocket\r\nconnection: upgrade\r\n',
          ]),
          choose.of([
            'POST /receive HTTP/1.1',
            'POST /receive HTTP/1.0',
            'POST http://x/receive HTTP/1.1',
            'POST http://:0 HTTP/1.1',
            'POST * HTTP/1.1',
            'CONNECT r:1 HTTP/1.1',
            'TRACE /receive HTTP/1.1',
            'HEAD /receive HTTP/1.1',
            'GET /ready HTTP/1.1',
            'GET /health HTTP/1.1',
            'post /receive HTTP/1.1',
            'POST /receive HTTP/3.0',
            'POST /../receive HTTP/1.1',
            'POST /receive#x HTTP/1.1',
            'POST \\receive HTTP/1.1',
          ]),
        ),
      ],
      end: 'end',
    }),
    () => ({
      kind: 'right, then nonsense',
      parts: [head(`content-length: 2\r\n`), Buffer.from('{}NONSENSE\r\n\r\n')],
      end: 'wait',
      statuses: [422, 400],
    }),
    () => ({
      kind: 'not read',
      parts: [
        head(`content-length: ${maxBody + 1 + choose.below(9e9)}\r\n`),
        Buffer.alloc(choose.below(200_000), 'x'),
      ],
      end: choose.of(['end', 'reset', 'destroy']),
    }),
    () => ({
      kind: 'streamed, too large',
      parts: [
        head('transfer-encoding: chunked\r\n'),
        ...Array.from({ length: 3 }, () =>
          Buffer.concat([Buffer.from('8000\r\n'), Buffer.alloc(0x8000, 'x'), Buffer.from('\r\n')]),
        ),
      ],
      end: 'end',
      statuses: [413],
    }),
    () => ({
      kind: 'asked for, refused',
      parts: [
        head(
          choose.of([`content-length: ${maxBody + 1}\r\n`, 'content-length: 9\r\ncontent-encoding: br\r\n']) +
            'expect: 100-continue\r\n',
        ),
      ],
      end: 'wait',
    }),
  ]
  return choose.of(kinds)()
}

function mutated(choose: Random, bytes: Buffer): Buffer {
  let changed = Buffer.from(bytes)
  for (let n = 1 + choose.below(5); n > 0; n--) {
    const at = choose.below(changed.length)
    const kind = choose.below(5)
    if (kind === 0) changed[at]! ^= 1 << choose.below(8)
    else if (kind === 1) changed[at] = choose.of([0, 10, 13, 32, 58, 255, 34])
    else if (kind === 2)
      changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + choose.below(8))])
    else if (kind === 3)
      changed = Buffer.concat([
        changed.subarray(0, at),
        choose.bytes(1 + choose.below(8)),
        changed.subarray(at),
      ])
    else changed = Buffer.concat([changed.subarray(0, at), changed.subarray(choose.below(changed.length))])
    if (changed.length === 0) return Buffer.from('\n')
  }
  return changed
}

type Target = { readonly port: number; readonly tally: Tally }

async function shoot({ port, tally }: Target, { kind, parts, end, statuses }: Shot): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => {})
  const answers = new Answers()
  const came: Answer[] = []
  const bytes = Buffer.concat(parts)
  const isHead = bytes.includes('HEAD ')
  const wrong = (why: string): void =>
    tally.note(why, `${kind}, ${end}: ${came.map(({ status }) => status)} to ${shown(bytes)}`)
  socket.on('data', (chunk) => {
    try {
      if (!isHead) came.push(...answers.take(chunk))
    } catch (error) {
      wrong((error as Error).message)
    }
  })
  const closed = once(socket, 'close').catch(() => {})
  await Promise.race([once(socket, 'connect').catch(() => {}), closed])
  const began = performance.now()
  for (const part of parts) {
    if (socket.writable) socket.write(part)
    if (parts.length > 1) await new Promise(setImmediate)
  }
  if (end === 'end') socket.end()
  else if (end === 'destroy') socket.destroySoon()
  else if (end === 'reset') socket.resetAndDestroy()
  const isLate = await Promise.race([closed, delay(answerMs + ownLagMs, true, { ref: false })])
  if (isLate === true) {
    wrong('hung')
    socket.destroy()
  }
  tally.answered(kind, performance.now() - began)
  const final = came.filter(({ status }) => status !== 100)
  // 501 tells of another transfer coding, which is the sender's
  if (final.some(({ status }) => status >= 500 && status !== 501)) wrong('5xx')
  // a connection that was reset under an answer may have lost it on its way; what has come has to be right
  if (
    statuses &&
    final.some(({ status }, n) => status !== statuses[n] && !(statuses[n] === 200 && status === 201))
  )
    wrong(`not ${statuses}`)
  if (statuses && end === 'wait' && final.length !== statuses.length) wrong(`not ${statuses.length} answers`)
}

/** Sends a right envelope in drops: in time, and is stored; or not, and is told so before 10 s are over. */
async function slowSender({ port, tally }: Target, choose: Random, right: Buffer): Promise<void> {
  const body = Buffer.from(
    right.toString().replace(/"association_slug":"[^"]*"/, '"association_slug":"slow"'),
  )
  const verdict = judge(body, tokenSha256)
  const isEarly = choose.oneIn(2)
  const isHeadSlow = !isEarly && choose.oneIn(2)
  const head = Buffer.from(
    `POST /receive HTTP/1.1\r\nhost: r\r\nx-node-token: ${token}\r\ncontent-length: ${body.length}\r\n\r\n`,
  )
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => {})
  const answers = new Answers()
  const came: Answer[] = []
  socket.on('data', (chunk) => came.push(...answers.take(chunk)))
  const closed = once(socket, 'close').catch(() => {})
  await once(socket, 'connect')
  const began = performance.now()
  if (!isHeadSlow) socket.write(head)
  const sent = isHeadSlow ? head.subarray(0, -2) : isEarly ? body : body.subarray(0, -1)
  const drops = isEarly ? 2 + choose.below(12) : 60
  const size = Math.ceil(sent.length / drops)
  for (
    let at = 0;
    at < sent.length && came.length === 0 && performance.now() - began < answerMs;
    at += size
  ) {
    socket.write(sent.subarray(at, at + size))
    await delay(isEarly ? 20 + choose.below(400) : 200)
  }
  while (came.length === 0 && performance.now() - began < answerMs + ownLagMs) await delay(20)
  const ms = performance.now() - began
  tally.answered(isEarly ? 'slow, in time' : 'slow, too late', ms)
  const expected = isEarly ? (verdict.status === 'stored' ? [200, 201] : [verdict.status]) : [408]
  const status = came[0]?.status
  const what = isEarly ? 'in time' : isHeadSlow ? 'of a head' : 'of a body'
  if (status === undefined)
    tally.note(socket.closed ? 'closed' : 'hung', `no answer to a slow sender ${what}, ${Math.round(ms)} ms`)
  else if (!expected.includes(status))
    tally.note('slow', `${status} after ${Math.round(ms)} ms, not ${expected}`)
  if (status === 408 && (await Promise.race([closed, delay(2_000, true, { ref: false })])) === true)
    tally.note('slow', 'still open 2 s after 408')
  socket.destroy()
}

/** Runs `count` of them, some at a time. */
async function inTurns(
  count: number,
  atOnce: number,
  isOver: () => boolean,
  one: () => Promise<void>,
): Promise<void> {
  let left = count
  const turn = async (): Promise<void> => {
    while (left-- > 0 && !isOver()) await one()
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, turn))
}

class Tally {
  cases = 0
  duplicated = 0
  unreadable = 0
  #lost = { append: 0, overwrite: 0 }
  #wrong = 0
  #slowest = 0
  readonly #kinds = new Map<string, number>()
  readonly #notes = new Map<string, { count: number; first: string }>()

  answered(kind: string, ms: number): void {
    this.cases++
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
    this.#slowest = Math.max(this.#slowest, ms)
  }

  note(what: string, first: string): void {
    this.#wrong++
    const known = this.#notes.get(what)
    if (known) known.count++
    else this.#notes.set(what, { count: 1, first })
  }

  lost(rule: 'append' | 'overwrite', first: string): void {
    this.#lost[rule]++
    this.note('lost', first)
    this.#wrong--
  }

  lookAtMemory(megabytes: readonly number[]): void {
    // the first tenth of a run is warming up: code is compiled, tables grow to their size
    const early = Math.max(...megabytes.slice(0, Math.ceil(megabytes.length / 4)))
    const late = Math.max(...megabytes.slice(-Math.ceil(megabytes.length / 4)))
    this.memory = `memory ${Math.round(early)} MB at most in the first quarter, ${Math.round(late)} MB in the last`
    if (late > early * 1.25 + 24) this.note('memory', this.memory)
  }

  /** Only a machine that stalls has any, so they stay rare. */
  lookAtCuts(): void {
    const count = this.#kinds.get(cutKind) ?? 0
    if (count > 2 + this.cases / 50_000) this.note('closed early', `${count} connections after a refusal`)
  }

  memory = ''

  rows(): Row[] {
    const kinds = [...this.#kinds].map(([kind, count]) => `${kind} ${count}`).sort()
    const notes = [...this.#notes].map(([what, { count, first }]) => `${count} × ${what}, first: ${first}`)
    notes.push(`${kinds.join(', ')}; slowest answer ${Math.round(this.#slowest)} ms; ${this.memory}`)
    const { append, overwrite } = this.#lost
    return [
      {
        fault: 'any input',
        rule: 'both',
        cases: this.cases,
        lost: append + overwrite,
        duplicated: this.duplicated,
        unreadable: this.unreadable,
        wrong: this.#wrong,
        notes,
      },
    ]
  }
}

type Started = {
  readonly child: ChildProcess
  readonly port: number
  /** Open before the first request. */
  readonly sockets: number
  /** Lines that should not be in its output. */
  readonly alarms: string[]
}

/** Its output is looked at line by line and not kept: a million lines. */
async function start(data: string): Promise<Started> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], {
    env: {
      PATH: process.env.PATH,
      NODE_TOKEN: token,
      PORT: '0',
      MIN_FREE_BYTES: '0',
      DATA_DIR: data,
      MAX_BODY_BYTES: String(maxBody),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const alarms: string[] = []
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the receiver ended (${code})`)))
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ''
      stream.on('data', (chunk) => {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() as string
        for (const line of lines) {
          const found = /"port":(\d+),"msg":"listening"/.exec(line)
          if (found) resolve(Number(found[1]))
          if (!line.startsWith('{"level":30,') || line.includes(token.slice(0, 20)))
            alarms.push(line.slice(0, 300))
        }
      })
    }
  })
  return { child, port, alarms, sockets: socketsOf(child) }
}

function socketsOf({ pid }: ChildProcess): number {
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`)
  return descriptors.filter((path) => {
    try {
      return readlinkSync(path).startsWith('socket:')
    } catch {
      // closed since it was listed
      return false
    }
  }).length
}

function residentMb({ pid }: ChildProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

const slug = '[a-z0-9](?:[a-z0-9_-]{0,126}[a-z0-9])?'
const permitted = new RegExp(
  `^data(/(vs01|dsc01)(/${slug}(/[A-Za-z0-9@-]{1,64}\\.json)?)?|/scn01(/${slug}(/(records\\.json|\\.records\\.(head\\.json|index)))?)?)?$`,
)

/** Every path below the scratch directory that is of neither of the two permitted shapes. */
function strangers(scratch: string): string[] {
  const paths = readdirSync(scratch, { recursive: true }) as string[]
  return paths.filter((path) => !permitted.test(path))
}

function unreadableIn(data: string): number {
  const paths = (readdirSync(data, { recursive: true }) as string[]).filter((path) => path.endsWith('.json'))
  let count = 0
  for (const path of paths) {
    try {
      JSON.parse(readFileSync(join(data, path), 'utf8'))
    } catch {
      count++
    }
  }
  return count
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
