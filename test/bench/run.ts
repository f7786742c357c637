/** Measures a plan in rounds. Every point is measured once in each round, so that drifts of the machine affect all points. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { emptyPosition, type Position } from '../../src/records/position.ts'
import { exchange } from './connection.ts'
import type { Disk } from './disk.ts'
import { directoryOf, fill, restore } from './fill.ts'
import type { LoadJob, Measured } from './job.ts'
import {
  type FirstPoint,
  type LoadPoint,
  type LoopPoint,
  type Point,
  placekeys,
  type SlowPoint,
  type StartPoint,
  type Timing,
} from './plan.ts'
import { firstRecordMs, type Programs, type Running } from './programs.ts'
import { readBackAppends, readBackOverwrites } from './readback.ts'
import { requestFor, slugOf } from './request.ts'
import { median, percentile } from './statistics.ts'
import { bytesWrittenTo, usageOf } from './usage.ts'

export type Result = {
  readonly point: Point
  /** One result for each round. If a point failed, there are fewer. */
  readonly rounds: readonly Round[]
  /** Why a round of this point could not be measured. */
  readonly failed?: string
}

export type Round = Partial<Measured> & {
  readonly peakRssMb?: number
  readonly startMs?: number
  /** The median of the first requests of a process, the median when it was warm, and their ratio. */
  readonly firstMs50?: number
  readonly warmMs50?: number
  readonly firstTimes?: number
  /** Bytes written to the disk for each record, including those of the file system. Only if nobody else writes to that disk. */
  readonly diskBytesPerRecord?: number
  readonly wakeUpsPerSecond?: number
  readonly idleCpuMsPerHour?: number
  readonly idleBytes?: number
  /** The number of acknowledged requests that were looked for on disk after the kill, and of those that were not there as acknowledged. */
  readonly acknowledged?: number
  readonly lost?: number
}

export type Watcher = {
  /** Reports that `done` of `total` measurements are done, and what is measured now. */
  progress(done: number, total: number, what: string): void
}

export type Bench = {
  readonly scratch: string
  /** The number of a disk on which nobody else writes. */
  readonly device: string | undefined
  readonly programs: Programs
  readonly timing: Timing
  readonly prepared: Map<number, { readonly root: string; readonly position: Position }>
}

/** Higher than every number that `fill` gives. */
const firstNumber = 1_000_000_000
/** The size of a record in the file, a little more than the body of the request. It tells the space for a hundred thousand beforehand. */
const bytesPerRecord = 4_600
const mostByOnePoint = 2.5e9

/** The lengths of the records files that the points need. */
function storedIn(points: readonly Point[]): number[] {
  const counts = points.flatMap((point) => ('stored' in point && point.stored > 0 ? [point.stored] : []))
  return [...new Set(counts)].sort((a, b) => a - b)
}

export function bytesFor(points: readonly Point[]): number {
  return storedIn(points).reduce((sum, count) => sum + count * bytesPerRecord, mostByOnePoint)
}

export async function run(
  points: readonly Point[],
  programs: Programs,
  timing: Timing,
  disk: Pick<Disk, 'path' | 'device'>,
  { progress }: Watcher,
): Promise<readonly Result[]> {
  const bench = await prepare(points, programs, timing, disk, { progress })
  const rounds = points.map((): Round[] => [])
  const failures = new Map<number, string>()
  const total = points.length * timing.rounds
  for (let round = 0; round < timing.rounds; round++) {
    for (const [index, point] of points.entries()) {
      if (failures.has(index) || (point.type === 'slow' && round > 0)) continue
      progress(round * points.length + index, total, point.name)
      try {
        rounds[index]?.push(await measure(bench, point))
      } catch (error) {
        failures.set(index, (error as Error).message)
      }
    }
  }
  return points.map((point, index) => {
    const failed = failures.get(index)
    return { point, rounds: rounds[index] as Round[], ...(failed !== undefined && { failed }) }
  })
}

/** Makes the records files that the points begin with. */
export async function prepare(
  points: readonly Point[],
  programs: Programs,
  timing: Timing,
  { path: scratch, device }: Pick<Disk, 'path' | 'device'>,
  { progress }: Watcher,
): Promise<Bench> {
  const bench: Bench = { scratch, device, programs, timing, prepared: new Map() }
  for (const count of storedIn(points)) {
    const root = join(scratch, `stored-${count}`)
    const position = await fill(root, count, (done) =>
      progress(done, count, `making a file of ${count} records`),
    )
    bench.prepared.set(count, { root, position })
  }
  return bench
}

function measure(bench: Bench, point: Point): Promise<Round> {
  if (point.type === 'loop') return measureLoop(bench, point)
  if (point.type === 'first') return withRecords(bench, 0, (root) => measureFirst(bench, point, root))
  if (point.type === 'slow') return withRecords(bench, 0, (root) => measureSlow(bench, point, root))
  if (point.server === 'obvious') return withCopy(bench, point)
  return withRecords(bench, point.stored, (root, from) =>
    point.type === 'start' ? measureStart(bench, point, root) : measureLoad(bench, point, root, from),
  )
}

/** Runs `work` on a data directory with so many records, and then restores the directory. */
export async function withRecords<T>(
  { scratch, prepared }: Bench,
  stored: number,
  work: (root: string, from: Position) => Promise<T>,
): Promise<T> {
  const ready = prepared.get(stored)
  if (!ready) {
    const root = mkdtempSync(join(scratch, 'data-'))
    return work(root, emptyPosition).finally(() => rmSync(root, { recursive: true }))
  }
  return work(ready.root, ready.position).finally(() => restore(ready.root, ready.position))
}

/** The obvious program replaces the file that it finds, so it gets a copy. */
function withCopy(bench: Bench, point: LoadPoint | StartPoint): Promise<Round> {
  return withRecords(bench, 0, (root) => {
    const ready = bench.prepared.get(point.stored)
    if (ready) cpSync(directoryOf(ready.root), directoryOf(root), { recursive: true })
    return measureLoad(bench, point as LoadPoint, root, emptyPosition)
  })
}

export function jobFor(point: LoadPoint, timing: Timing, server: Running, acknowledged: string): LoadJob {
  return {
    port: server.port,
    pid: server.pid,
    kind: point.kind,
    concurrency: point.concurrency,
    keepAlive: point.keepAlive,
    associations: point.associations,
    placekeys,
    warmMs: timing.warmMs,
    measureMs: timing.measureMs,
    ...point.timing,
    acknowledged,
  }
}

async function measureLoad(bench: Bench, point: LoadPoint, root: string, from: Position): Promise<Round> {
  const { programs, timing, scratch } = bench
  const list = join(scratch, 'acknowledged')
  const server = await programs.start(point.server, root)
  try {
    const load = programs.load(jobFor(point, timing, server, list))
    const measured = await load.measured
    const peakRssMb = server.peakRssMb()
    await server.kill()
    await load.done
    return { ...measured, peakRssMb, ...(await readBack(point, root, list, from)) }
  } finally {
    await server.kill()
  }
}

/** Checks the records of a receiver on disk. The rows of a peer are not checked. */
export async function readBack(
  { kind, server }: LoadPoint,
  root: string,
  list: string,
  from: Position,
): Promise<Pick<Round, 'acknowledged' | 'lost'>> {
  if (server !== 'bundled' && server !== 'source') return {}
  if (kind === 'append') return readBackAppends(root, list, from)
  return kind === 'overwrite' ? readBackOverwrites(root, list, slugOf(0)) : {}
}

async function measureLoop({ scratch, programs, timing }: Bench, point: LoopPoint): Promise<Round> {
  const directory = mkdtempSync(join(scratch, 'loop-'))
  try {
    const { warmMs, measureMs } = timing
    const { type: _type, name: _name, ...loop } = point
    return await programs.loop({ directory, warmMs: warmMs / 2, measureMs, ...loop })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function measureStart({ programs }: Bench, point: StartPoint, root: string): Promise<Round> {
  const server = await programs.start(point.server, root)
  try {
    const startMs = await firstRecordMs(server, firstNumber)
    return { startMs, peakRssMb: server.peakRssMb() }
  } finally {
    await server.kill()
  }
}

/** Posts requests one after the other, each on a connection of its own. Gives how long each took; any answer but 201 is an error. */
function poster(port: number): (requests: number, pause?: () => Promise<void>) => Promise<Float64Array> {
  const request = requestFor('append', false)
  let number = firstNumber
  return async (requests, pause) => {
    const taken = new Float64Array(requests)
    for (let at = 0; at < requests; at++) {
      request.set(number++, 0, 0)
      const { status, ms, body } = await exchange(port, request.bytes)
      if (status !== 201) throw new Error(`a request was not taken: ${status} ${body}`)
      taken[at] = ms
      await pause?.()
    }
    return taken
  }
}

async function measureFirst({ programs }: Bench, point: FirstPoint, root: string): Promise<Round> {
  const server = await programs.start(point.server, root)
  try {
    const post = poster(server.port)
    const [first = 0] = await post(1)
    const startMs = performance.now() - server.startedAt
    const firstMs50 = median([first, ...(await post(point.requests - 1))])
    await post(point.warmRequests)
    const warmMs50 = median([...(await post(point.warmRequests / 5))])
    const firstTimes = firstMs50 / warmMs50
    return { startMs, firstMs50, warmMs50, firstTimes, peakRssMb: server.peakRssMb() }
  } finally {
    await server.kill()
  }
}

async function measureSlow({ programs, device }: Bench, point: SlowPoint, root: string): Promise<Round> {
  const server = await programs.start(point.server, root)
  const diskBytes = (): number => (device === undefined ? 0 : bytesWrittenTo(device))
  /** Waits until everything has been written to the disk. */
  const syncDisk = (): void => void spawnSync('sync', ['--file-system', root])
  try {
    syncDisk()
    const before = diskBytes()
    const taken = await poster(server.port)(point.requests, () => sleep(point.everyMs))
    syncDisk()
    const written = (diskBytes() - before) / point.requests
    const began = { at: performance.now(), disk: diskBytes(), ...usageOf(server.pid) }
    await sleep(point.idleMs)
    const seconds = (performance.now() - began.at) / 1000
    const now = usageOf(server.pid)
    return {
      requests: point.requests,
      p50: percentile(taken, 0.5),
      p99: percentile(taken, 0.99),
      peakRssMb: server.peakRssMb(),
      ...(device !== undefined && { diskBytesPerRecord: written }),
      wakeUpsPerSecond: (now.wakeUps - began.wakeUps) / seconds,
      idleCpuMsPerHour: ((now.cpuMs - began.cpuMs) / seconds) * 3_600,
      idleBytes: now.writtenBytes - began.writtenBytes + diskBytes() - began.disk,
    }
  } finally {
    await server.kill()
  }
}
