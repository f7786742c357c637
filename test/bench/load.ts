/**
 * The load generator, a process of its own. It opens a number of connections and sends one request after the other on each.
 *
 * It goes on after the measurement until the server is gone, so that the kill comes while requests are under way. Then it writes down every
 * request that was acknowledged.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { type Connection, openConnection, type Reply } from './connection.ts'
import type { LoadJob, LoadMessage, LoadOrder, Measured, Slice } from './job.ts'
import { isExpected, placekeyOf, requestFor, slugOf } from './request.ts'
import { percentile } from './statistics.ts'
import { usageOf } from './usage.ts'

/** Higher than every number that `fill` gives. */
const firstNumber = 1_000_000_000
/** The time limit for the first answer. The receiver answers 503 while it reads a records file of a million lines. */
const patienceMs = 60_000
const clockTicksPerSecond = 100
/** With a new connection for each request, one local address would run out of ports. */
const localAddresses = 200

const job = JSON.parse(process.argv[2] as string) as LoadJob
const tell = (message: LoadMessage): void => void process.send?.(message)

/** The acknowledged requests of one kind, packed as numbers, because there are hundreds of thousands of them. */
const acknowledged: number[] = []
const hashes: string[] = []
let latencies = new Float64Array(1 << 16)
let counted = 0
let state: 'warm' | 'measuring' | 'measured' | 'over' = 'warm'
let next = 0
let tick = 0
let live = 0
const unexpected = new Map<string, number>()
/** True while the senders pause for the turn of the other side. */
let isResting = false
let rested: (() => void)[] = []
let onRest = (): void => {}

function serverCpuMs(): number {
  const stat = readFileSync(`/proc/${job.pid}/stat`, 'latin1')
  const [utime = 0, stime = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return ((utime + stime) * 1000) / clockTicksPerSecond
}

function note(took: number): void {
  if (counted === latencies.length) {
    const longer = new Float64Array(latencies.length * 2)
    longer.set(latencies)
    latencies = longer
  }
  latencies[counted++] = took
}

function keep({ body }: Reply, place: CurrentPost): void {
  if (job.kind === 'overwrite') acknowledged.push(place.placekey, place.number, place.sent, tick++)
  else if (job.kind === 'append') {
    const found = /"sequence":(\d+),"record_sha256":"([0-9a-f]{64})"/.exec(body)
    // The 201 of a floor has no receipt.
    if (!found) return
    acknowledged.push(place.association, Number(found[1]))
    // The text is copied, because a slice would keep the whole answer in memory.
    hashes.push(Buffer.from(found[2] as string).toString('latin1'))
  }
}

type CurrentPost = { number: number; association: number; placekey: number; sent: number }

function sender(index: number): void {
  const request = requestFor(job.kind, job.keepAlive)
  const place: CurrentPost = { number: 0, association: 0, placekey: 0, sent: 0 }
  const localAddress = job.keepAlive ? undefined : `127.0.1.${1 + (index % localAddresses)}`
  let began = 0

  const post = (connection: Connection): void => {
    if (job.keepAlive) began = performance.now()
    place.number = firstNumber + next
    place.association = next % job.associations
    place.placekey = next % job.placekeys
    place.sent = tick++
    next++
    request.set(place.number, place.association, place.placekey)
    connection.send(request.bytes)
  }
  const start = (): void => {
    began = performance.now()
    const listener = { ready: post, reply: take, gone }
    openConnection(job.port, listener, localAddress)
  }
  const take = (reply: Reply, connection: Connection): void => {
    if (isExpected(job.kind, reply.status)) {
      if (state === 'measuring') note(performance.now() - began)
      keep(reply, place)
    } else note503(reply)
    if (!job.keepAlive) connection.end()
    const next = job.keepAlive ? () => post(connection) : start
    if (isResting) {
      rested.push(next)
      if (rested.length === live) onRest()
    } else next()
  }
  const gone = (code: string): void => {
    live--
    if (state === 'warm' || state === 'measuring') unexpected.set(code, (unexpected.get(code) ?? 0) + 1)
    if (live === 0) finish()
  }
  live++
  start()
}

function note503({ status }: Reply): void {
  if (state === 'warm' || state === 'measuring')
    unexpected.set(String(status), (unexpected.get(String(status)) ?? 0) + 1)
}

/** Sends one request until it is accepted. After that the server knows the file on disk. */
function first(): Promise<number> {
  const began = performance.now()
  const request = requestFor(job.kind, false)
  const association = 0
  const place: CurrentPost = {
    number: firstNumber + next,
    association,
    placekey: next % job.placekeys,
    sent: tick++,
  }
  next++
  request.set(place.number, place.association, place.placekey)
  return new Promise((resolve, reject) => {
    const again = (why: string): void => {
      if (performance.now() - began > patienceMs) reject(new Error(`no request was taken: ${why}`))
      else setTimeout(attempt, 1)
    }
    const attempt = (): void => {
      openConnection(job.port, {
        ready: (connection) => connection.send(request.bytes),
        reply(reply, connection) {
          connection.end()
          if (!isExpected(job.kind, reply.status)) return again(`the status was ${reply.status}`)
          keep(reply, place)
          resolve(performance.now() - began)
        },
        gone: again,
      })
    }
    attempt()
  })
}

async function measure(): Promise<void> {
  const firstMs = await first()
  for (let index = 0; index < job.concurrency; index++) sender(index)
  await sleep(job.warmMs)
  unexpected.clear()
  if (job.sliceMs !== undefined) return measureInSlices(job.sliceMs)
  const began = performance.now()
  const serverCpu = serverCpuMs()
  const ownCpu = process.cpuUsage()
  state = 'measuring'
  await sleep(job.measureMs)
  state = 'measured'
  const seconds = (performance.now() - began) / 1000
  const cpu = serverCpuMs() - serverCpu
  const own = process.cpuUsage(ownCpu)
  if (unexpected.size > 0 || counted === 0) {
    return tell({ type: 'failed', reason: `not every answer was as expected: ${seen() || 'none came'}` })
  }
  const taken = latencies.subarray(0, counted).slice()
  const measured: Measured = {
    requestsPerSecond: counted / seconds,
    p50: percentile(taken, 0.5),
    p99: percentile(taken, 0.99),
    p999: percentile(taken, 0.999),
    cpuPerRequest: (cpu * 1000) / counted,
    requests: counted,
    seconds,
    generator: (own.user + own.system) / 1e6 / seconds,
    firstMs,
  }
  tell({ type: 'measured', measured })
}

/** The first quarter of a slice does not count, because the answers to the first requests are still under way then. */
async function measureInSlices(sliceMs: number): Promise<void> {
  process.on('message', (order: LoadOrder) => {
    if (order === 'slice')
      measureSlice(sliceMs).catch((error: Error) => tell({ type: 'failed', reason: error.message }))
    else goOn()
  })
  await rest()
  tell({ type: 'resting' })
}

async function measureSlice(sliceMs: number): Promise<void> {
  goOn()
  await sleep(sliceMs / 4)
  counted = 0
  state = 'measuring'
  const began = performance.now()
  const cpu = usageOf(job.pid).cpuMs
  await sleep((sliceMs * 3) / 4)
  state = 'warm'
  const seconds = (performance.now() - began) / 1000
  const slice: Slice = {
    requestsPerSecond: counted / seconds,
    cpuPerRequest: ((usageOf(job.pid).cpuMs - cpu) * 1000) / counted,
  }
  await rest()
  if (unexpected.size > 0) tell({ type: 'failed', reason: `not every answer was as expected: ${seen()}` })
  else tell({ type: 'resting', slice })
}

/** Resolves when every sender has its answer. */
function rest(): Promise<void> {
  isResting = true
  return new Promise((resolve) => {
    onRest = resolve
    if (rested.length === live) resolve()
  })
}

function goOn(): void {
  isResting = false
  const senders = rested
  rested = []
  for (const next of senders) next()
}

function seen(): string {
  return [...unexpected].map(([what, times]) => `${times} × ${what}`).join(', ')
}

function finish(): void {
  if (state === 'over') return
  state = 'over'
  writeFileSync(job.acknowledged, lines().join('\n'))
  process.disconnect()
}

function lines(): string[] {
  if (job.kind === 'overwrite') {
    return Array.from({ length: acknowledged.length / 4 }, (_, at) => {
      const [placekey = 0, number, sent, answered] = acknowledged.slice(at * 4, at * 4 + 4)
      return JSON.stringify({ participant: placekeyOf(placekey), number, sent, answered })
    })
  }
  return hashes.map((sha256, at) =>
    JSON.stringify({
      slug: slugOf(acknowledged[at * 2] as number),
      sequence: acknowledged[at * 2 + 1],
      sha256,
    }),
  )
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

measure().catch((error: Error) => tell({ type: 'failed', reason: error.message }))
