/** What is measured, what it is compared with, and the goals. Data; `run.ts` does it and `report.ts` prints it. */
import type { Server } from './programs.ts'
import type { Kind } from './request.ts'

export type Mode = 'quick' | 'standard' | 'full'

export type LoadPoint = {
  readonly type: 'load'
  readonly name: string
  readonly server: Server
  readonly kind: Kind
  readonly concurrency: number
  readonly stored: number
  readonly associations: number
  readonly keepAlive: boolean
}
export type LoopPoint = { readonly type: 'loop'; readonly name: string } & (
  | { readonly loop: 'append'; readonly recordsPerSync: number }
  | { readonly loop: 'rename'; readonly concurrency: number; readonly files: number }
)
export type StartPoint = {
  readonly type: 'start'
  readonly name: string
  readonly server: Server
  readonly stored: number
  /** Whether the records are as after a stop in good order, or come from elsewhere, as from a backup, and have to be read. */
  readonly isKnown: boolean
}
export type Point = LoadPoint | LoopPoint | StartPoint

export type Timing = { readonly rounds: number; readonly warmMs: number; readonly measureMs: number }

/** V8 compiles what it has seen often: a receiver is at its speed after some thousand requests, not after a second. */
export const timings: Readonly<Record<Mode, Timing>> = {
  quick: { rounds: 1, warmMs: 300, measureMs: 700 },
  standard: { rounds: 3, warmMs: 4_000, measureMs: 2_500 },
  full: { rounds: 5, warmMs: 4_000, measureMs: 2_500 },
}

export const placekeys = 1_000

const count = (value: number): string => value.toLocaleString('en-US')
const concurrencies = [1, 16, 64, 256]

const storedCounts: Readonly<Record<Mode, readonly number[]>> = {
  quick: [0, 100_000],
  standard: [0, 1_000, 10_000, 100_000],
  full: [0, 1_000, 10_000, 100_000, 1_000_000],
}

function load(server: Server, name: string, more: Partial<LoadPoint>): LoadPoint {
  const usual = { kind: 'append', concurrency: 64, stored: 0, associations: 1, keepAlive: true } as const
  return { type: 'load', server, name: `${names[server]}: ${name}`, ...usual, ...more }
}

const names: Readonly<Record<Server, string>> = {
  bundled: 'receiver',
  source: 'receiver from source',
  answer: 'no storage',
  unchecked: 'no checks',
  sqlite: 'SQLite',
}

const appendName = (concurrency: number, stored = 0): string =>
  `append, ${concurrency} at once${stored > 0 ? `, ${count(stored)} stored` : ''}`
const syncName = (records: number): string => `append and fdatasync, ${records} a sync`
const newConnections = 'append, 16 at once, new connections'
const manyAssociations = 'append, 64 at once, 100 associations'
const overwrites = 'overwrite, 64 at once, 1,000 Placekeys'
const renames = 'write, fsync, rename, directory fsync, 64 at once'
const startName = (server: Server, stored: number, isKnown = true): string =>
  `${names[server]}: start to first record${stored > 0 ? `, ${count(stored)} stored` : ''}${isKnown ? '' : ', all of them read'}`

/** In an order that puts each point near those that it is compared with. */
export function plan(mode: Mode): readonly Point[] {
  const isQuick = mode === 'quick'
  const stored = storedCounts[mode]
  const points: Point[] = []
  for (const concurrency of concurrencies) {
    const name = appendName(concurrency)
    if (!isQuick || concurrency !== 256) points.push(load('answer', name, { concurrency }))
    if (!isQuick || concurrency === 1 || concurrency === 64)
      points.push(load('sqlite', name, { concurrency }))
    if (!isQuick && (concurrency === 1 || concurrency === 64))
      points.push(load('unchecked', name, { concurrency }))
    for (const records of stored) {
      if (isQuick && records > 0 && concurrency !== 1 && concurrency !== 64) continue
      points.push(load('bundled', appendName(concurrency, records), { concurrency, stored: records }))
    }
    if (concurrency < 256) {
      points.push({ type: 'loop', name: syncName(concurrency), loop: 'append', recordsPerSync: concurrency })
    }
    if (concurrency === 64 || (!isQuick && concurrency === 1))
      points.push(load('source', name, { concurrency }))
  }
  for (const server of ['answer', 'bundled'] as const) {
    points.push(load(server, newConnections, { concurrency: 16, keepAlive: false }))
  }
  for (const server of ['sqlite', 'unchecked', 'bundled'] as const) {
    if (isQuick && server === 'unchecked') continue
    points.push(load(server, manyAssociations, { associations: 100 }))
  }
  points.push({ type: 'loop', name: renames, loop: 'rename', concurrency: 64, files: placekeys })
  for (const server of ['sqlite', 'bundled'] as const)
    points.push(load(server, overwrites, { kind: 'overwrite' }))
  points.push(load('bundled', 'refusal with 401, 64 at once', { kind: 'wrong-token' }))
  points.push(load('bundled', 'refusal with 422, 64 at once', { kind: 'bad-envelope' }))
  for (const server of ['source', 'bundled'] as const) {
    for (const records of stored) {
      if (records !== 0 && records < 100_000) continue
      for (const isKnown of records === 0 ? [true] : [true, false])
        points.push({
          type: 'start',
          name: startName(server, records, isKnown),
          server,
          stored: records,
          isKnown,
        })
    }
  }
  return points
}

/** What stands beside each point of the receiver, and of what could be had without its checks. */
export type Comparison = {
  readonly of: string
  readonly to: string
  readonly as: 'no storage' | 'no checks' | 'loop' | 'SQLite' | 'empty'
}

export function comparisons(points: readonly Point[]): readonly Comparison[] {
  const known = new Set(points.map(({ name }) => name))
  const found: Comparison[] = []
  const compare = (of: string, as: Comparison['as'], to: string): void => {
    if (known.has(to)) found.push({ of, to, as })
  }
  for (const point of points) {
    if (point.type !== 'load' || point.server === 'answer' || point.server === 'sqlite') continue
    const same = point.name.slice(point.name.indexOf(': ') + 2)
    const empty = appendName(point.concurrency)
    const isPlain = point.kind === 'append' && point.keepAlive && point.associations === 1
    const bare = `no storage: ${isPlain || !point.keepAlive ? (point.keepAlive ? empty : same) : appendName(64)}`
    compare(point.name, 'no storage', bare)
    if (point.server !== 'unchecked') compare(point.name, 'no checks', `no checks: ${isPlain ? empty : same}`)
    compare(point.name, 'SQLite', `SQLite: ${isPlain ? empty : same}`)
    if (isPlain) compare(point.name, 'loop', syncName(Math.min(point.concurrency, 64)))
    if (point.kind === 'overwrite') compare(point.name, 'loop', renames)
    if (point.stored > 0) compare(point.name, 'empty', `${names[point.server]}: ${empty}`)
  }
  return found
}

/** `least` of a ratio of requests per second, or `most` of a figure of the point itself. */
export type Goal =
  | { readonly of: string; readonly to: string; readonly least: number }
  | { readonly of: string; readonly figure: 'startMs'; readonly most: number }
  | { readonly figure: 'peakRssMb'; readonly storedUpTo: number; readonly most: number }

/** Those that were agreed on for two cores and the bundled receiver. */
export const goals: readonly Goal[] = [
  ratio(appendName(1), `SQLite: ${appendName(1)}`, 1.0),
  ratio(appendName(1), syncName(1), 0.5),
  ratio(appendName(64), `SQLite: ${appendName(64)}`, 4),
  ratio(appendName(64), `no storage: ${appendName(64)}`, 0.5),
  ratio(appendName(1, 100_000), `receiver: ${appendName(1)}`, 0.95),
  ratio(appendName(64, 100_000), `receiver: ${appendName(64)}`, 0.95),
  ratio(appendName(1, 1_000_000), `receiver: ${appendName(1)}`, 0.9),
  ratio(appendName(64, 1_000_000), `receiver: ${appendName(64)}`, 0.9),
  ratio(manyAssociations, `SQLite: ${manyAssociations}`, 1.5),
  ratio(overwrites, `SQLite: ${overwrites}`, 0.7),
  ratio(overwrites, renames, 0.85),
  ratio('refusal with 401, 64 at once', `no storage: ${appendName(64)}`, 0.9),
  { figure: 'peakRssMb', storedUpTo: 100_000, most: 110 },
  { of: startName('source', 0), figure: 'startMs', most: 1_000 },
  { of: startName('source', 100_000), figure: 'startMs', most: 1_000 },
  { of: startName('bundled', 0), figure: 'startMs', most: 300 },
  { of: startName('bundled', 100_000), figure: 'startMs', most: 300 },
]

function ratio(of: string, to: string, least: number): Goal {
  return { of: `receiver: ${of}`, to, least }
}

/** The points whose names hold one of the words, and those they are compared with. All of them when there are no words. */
export function selected(points: readonly Point[], words: readonly string[]): readonly Point[] {
  if (words.length === 0) return points
  const wanted = new Set(
    points.filter(({ name }) => words.some((word) => name.includes(word))).map(({ name }) => name),
  )
  for (const { of, to } of comparisons(points)) if (wanted.has(of)) wanted.add(to)
  return points.filter(({ name }) => wanted.has(name))
}
