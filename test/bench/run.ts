/** Takes a plan through its rounds: every point once per round, so that what drifts in the machine hits all of them. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { emptyPosition, type Position } from '../../src/storage/records-file.ts'
import { fill, makeStrange, restore } from './fill.ts'
import type { Measured } from './job.ts'
import {
  type LoadPoint,
  type LoopPoint,
  type Point,
  placekeys,
  type StartPoint,
  type Timing,
} from './plan.ts'
import { firstRecordMs, type Programs } from './programs.ts'
import { readBackAppends, readBackOverwrites } from './readback.ts'
import { slugOf } from './request.ts'

export type Result = {
  readonly point: Point
  /** One a round; those of a point that failed end early. */
  readonly rounds: readonly Round[]
  /** Why a round of it could not be measured. */
  readonly failed?: string
}

export type Round = Partial<Measured> & {
  readonly peakRssMb?: number
  readonly startMs?: number
  /** Acknowledged requests that were looked for on disk after the kill, and those that were not there as acknowledged. */
  readonly acknowledged?: number
  readonly lost?: number
}

export type Watcher = {
  /** `done` of `total` measurements; what is being done now. */
  progress(done: number, total: number, what: string): void
}

type Bench = {
  readonly scratch: string
  readonly programs: Programs
  readonly timing: Timing
  readonly prepared: Map<number, { readonly root: string; readonly position: Position }>
}

/** Above every number that `fill` gives. */
const firstNumber = 1_000_000_000
/** A record in the file is a little longer than the request's body: what a hundred thousand take is known beforehand. */
const bytesPerRecord = 4_600

export async function run(
  points: readonly Point[],
  programs: Programs,
  timing: Timing,
  scratch: string,
  { progress }: Watcher,
): Promise<readonly Result[]> {
  const bench: Bench = { scratch, programs, timing, prepared: new Map() }
  const counts = new Set(
    points.flatMap((point) => ('stored' in point && point.stored > 0 ? [point.stored] : [])),
  )
  requireRoom(scratch, [...counts])
  for (const count of [...counts].sort((a, b) => a - b)) {
    const root = join(scratch, `stored-${count}`)
    const position = await fill(root, count, (done) =>
      progress(done, count, `making a file of ${count} records`),
    )
    bench.prepared.set(count, { root, position })
  }
  const rounds = points.map((): Round[] => [])
  const failures = new Map<number, string>()
  const total = points.length * timing.rounds
  for (let round = 0; round < timing.rounds; round++) {
    for (const [index, point] of points.entries()) {
      if (failures.has(index)) continue
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

function requireRoom(scratch: string, counts: readonly number[]): void {
  const { bavail, bsize } = statfsSync(scratch)
  const need = counts.reduce((sum, count) => sum + count * bytesPerRecord, 2e9)
  if (bavail * bsize < need)
    throw new Error(`the scratch directory needs ${Math.ceil(need / 1e9)} GB of free space`)
}

function measure(bench: Bench, point: Point): Promise<Round> {
  if (point.type === 'loop') return measureLoop(bench, point)
  return withRecords(bench, point.stored, (root, from) =>
    point.type === 'start' ? measureStart(bench, point, root, from) : measureLoad(bench, point, root, from),
  )
}

/** A data directory with so many records, and afterwards as it was. */
async function withRecords(
  { scratch, prepared }: Bench,
  stored: number,
  work: (root: string, from: Position) => Promise<Round>,
): Promise<Round> {
  const ready = prepared.get(stored)
  if (!ready) {
    const root = mkdtempSync(join(scratch, 'data-'))
    return work(root, emptyPosition).finally(() => rmSync(root, { recursive: true }))
  }
  return work(ready.root, ready.position).finally(() => restore(ready.root, ready.position))
}

async function measureLoad(bench: Bench, point: LoadPoint, root: string, from: Position): Promise<Round> {
  const { programs, timing, scratch } = bench
  const list = join(scratch, 'acknowledged')
  const server = await programs.start(point.server, root)
  try {
    const load = programs.load({
      port: server.port,
      pid: server.pid,
      kind: point.kind,
      concurrency: point.concurrency,
      keepAlive: point.keepAlive,
      associations: point.associations,
      placekeys,
      warmMs: timing.warmMs,
      measureMs: timing.measureMs,
      acknowledged: list,
    })
    const measured = await load.measured
    const peakRssMb = server.peakRssMb()
    await server.kill()
    await load.done
    const isReceiver = point.server === 'bundled' || point.server === 'source'
    const found = isReceiver ? await readBack(point, root, list, from) : {}
    return { ...measured, peakRssMb, ...found }
  } finally {
    await server.kill()
  }
}

async function readBack({ kind }: LoadPoint, root: string, list: string, from: Position): Promise<Round> {
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

async function measureStart(
  { programs }: Bench,
  point: StartPoint,
  root: string,
  from: Position,
): Promise<Round> {
  if (!point.isKnown) makeStrange(root, from)
  const server = await programs.start(point.server, root)
  try {
    const startMs = await firstRecordMs(server, firstNumber)
    return { startMs, peakRssMb: server.peakRssMb() }
  } finally {
    await server.kill()
  }
}

/**
 * For what is done once, before the rounds. ext4 without a journal looks for a new inode past all that were freed lately in
 * the same part of the disk, so a point would pay for the files that the points before it have replaced. With this attribute
 * each directory below gets a part of its own; other file systems, and a machine without chattr, do without.
 */
export function makeScratch(below: string): string {
  mkdirSync(below, { recursive: true })
  const scratch = mkdtempSync(join(below, 'civic-bench-'))
  spawnSync('chattr', ['+T', scratch])
  return scratch
}
