/** The list of measuring points and their comparisons, as data. `goals.ts` has the goals, `run.ts` measures, `report.ts` prints. */
import type { Server } from './programs.ts'
import type { RequestKind } from './request.ts'

export type Mode = 'quick' | 'standard' | 'full'

export type LoadPoint = {
  readonly type: 'load'
  readonly name: string
  readonly server: Server
  readonly kind: RequestKind
  readonly concurrency: number
  readonly stored: number
  readonly associations: number
  readonly keepAlive: boolean
  /** Replaces the timing of the run. A server that needs a second for one record does not get faster after a thousand. */
  readonly timing?: Pick<Timing, 'warmMs' | 'measureMs'>
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
}
/** Measures the first requests of a process, each on a connection of its own, and then the process after it is warm. */
export type FirstPoint = {
  readonly type: 'first'
  readonly name: string
  readonly server: Server
  readonly requests: number
  readonly warmRequests: number
}
/** Sends a request now and then, and then none at all. Measured only in the first round. */
export type SlowPoint = {
  readonly type: 'slow'
  readonly name: string
  readonly server: Server
  readonly requests: number
  readonly everyMs: number
  readonly idleMs: number
}
export type Point = LoadPoint | LoopPoint | StartPoint | FirstPoint | SlowPoint

export type Timing = { readonly rounds: number; readonly warmMs: number; readonly measureMs: number }

/** V8 compiles code that has run often, so a receiver reaches its speed after some thousand requests, not after a second. */
export const timings: Readonly<Record<Mode, Timing>> = {
  quick: { rounds: 1, warmMs: 300, measureMs: 700 },
  standard: { rounds: 3, warmMs: 4_000, measureMs: 2_500 },
  full: { rounds: 5, warmMs: 4_000, measureMs: 2_500 },
}

export const placekeys = 1_000

const count = (value: number): string => value.toLocaleString('en-US')

const storedCounts: Readonly<Record<Mode, readonly number[]>> = {
  quick: [0, 100_000],
  standard: [0, 1_000, 10_000, 100_000],
  full: [0, 1_000, 10_000, 100_000, 1_000_000],
}

function load(server: Server, name: string, more: Partial<LoadPoint>): LoadPoint {
  const usual = { kind: 'append', concurrency: 64, stored: 0, associations: 1, keepAlive: true } as const
  return { type: 'load', server, name: `${names[server]}: ${name}`, ...usual, ...more }
}

export const names: Readonly<Record<Server, string>> = {
  bundled: 'receiver',
  source: 'receiver from source',
  answer: 'no storage',
  unchecked: 'no checks',
  sqlite: 'SQLite, no checks',
  sqliteChecked: 'SQLite',
  postgresChecked: 'PostgreSQL',
  postgresStandby: 'PostgreSQL with standby',
  postgresTransactions: 'transactions',
  transactionsStandby: 'transactions with standby',
  obvious: 'obvious program',
  database: 'receiver on PostgreSQL',
  databaseStandby: 'receiver on PostgreSQL with standby',
}

const storedName = (stored: number): string => (stored > 0 ? `, ${count(stored)} stored` : '')
export const appendName = (concurrency: number, stored = 0): string =>
  `append, ${concurrency} at once${storedName(stored)}`
export const newConnectionsName = (concurrency: number): string =>
  `append, ${concurrency} at once, new connections`
const syncName = (records: number): string => `append and fdatasync, ${records} a sync`
export const manyAssociations = 'append, 64 at once, 100 associations'
export const overwrites = 'overwrite, 64 at once, 1,000 Placekeys'
const renames = 'write, fsync, rename, directory fsync, 64 at once'
export const firstName = 'receiver: the first 50 requests after a start'
export const slowName = (everyMs: number): string => `receiver: one request every ${everyMs / 1000} s`
const startName = (server: Server, stored: number): string =>
  `${names[server]}: start to first record${storedName(stored)}`

/** The points, in an order that puts each point near those with which it is compared. */
export function plan(mode: Mode): readonly Point[] {
  const isQuick = mode === 'quick'
  return [
    ...realTraffic(isQuick),
    ...appends(1, mode),
    ...(isQuick ? [] : [load('answer', appendName(16), { concurrency: 16 })]),
    ...(isQuick ? [] : [load('bundled', appendName(16), { concurrency: 16 })]),
    ...appends(64, mode),
    ...(isQuick ? [] : [load('answer', appendName(256), { concurrency: 256 })]),
    ...(isQuick ? [] : [load('bundled', appendName(256), { concurrency: 256 })]),
    ...(isQuick ? [] : [load('bundled', appendName(256, 100_000), { concurrency: 256, stored: 100_000 })]),
    ...loads(['sqliteChecked', 'postgresChecked', 'unchecked', 'bundled'], isQuick, manyAssociations, {
      associations: 100,
    }),
    { type: 'loop', name: renames, loop: 'rename', concurrency: 64, files: placekeys },
    ...loads(['sqlite', 'sqliteChecked', 'postgresChecked', 'bundled'], isQuick, overwrites, {
      kind: 'overwrite',
    }),
    load('bundled', 'refusal with 401, 64 at once', { kind: 'wrong-token' }),
    load('bundled', 'refusal with 422, 64 at once', { kind: 'bad-envelope' }),
    ...starts(storedCounts[mode]),
    ...onDatabases(),
  ]
}

/**
 * The receiver on a database, with and without a synchronous standby, beside one transaction for each request: of a program with the same
 * checks in the database, and of one with none, which only one process may run.
 */
const onDatabase = [
  'postgresTransactions',
  'database',
  'postgresStandby',
  'transactionsStandby',
  'databaseStandby',
] as const

function onDatabases(): LoadPoint[] {
  const shapes: readonly (readonly [string, Partial<LoadPoint>])[] = [
    [appendName(64), {}],
    [manyAssociations, { associations: 100 }],
    [overwrites, { kind: 'overwrite' }],
    [appendName(1), { concurrency: 1 }],
  ]
  return shapes.flatMap(([name, more]) => onDatabase.map((server) => load(server, name, more)))
}

/** Points like real traffic: Hubzilla opens a connection for each post, and posts a few times an hour. */
function realTraffic(isQuick: boolean): Point[] {
  const slow = isQuick
    ? { requests: 4, everyMs: 1_000, idleMs: 3_000 }
    : { requests: 30, everyMs: 10_000, idleMs: 60_000 }
  return [
    { type: 'slow', name: slowName(slow.everyMs), server: 'bundled', ...slow },
    { type: 'first', name: firstName, server: 'bundled', requests: 50, warmRequests: isQuick ? 500 : 3_000 },
    ...loads(['answer', 'sqliteChecked', 'bundled'], false, newConnectionsName(1), {
      concurrency: 1,
      keepAlive: false,
    }),
    ...loads(['answer', 'bundled'], isQuick, newConnectionsName(16), { concurrency: 16, keepAlive: false }),
  ]
}

/** The same load on several servers. A quick run leaves out the floors that check nothing. */
function loads(
  servers: readonly Server[],
  isQuick: boolean,
  name: string,
  more: Partial<LoadPoint>,
): LoadPoint[] {
  const wanted = isQuick ? servers.filter((server) => server !== 'unchecked' && server !== 'sqlite') : servers
  return wanted.map((server) => load(server, name, more))
}

/** Beside 10,000 records the obvious program reads and writes 44 MB for each new one. */
const slowly = (stored: number) => ({ warmMs: 1_000, measureMs: stored >= 10_000 ? 60_000 : 10_000 })

function appends(concurrency: 1 | 64, mode: Mode): Point[] {
  const isQuick = mode === 'quick'
  const name = appendName(concurrency)
  const floors: readonly Server[] = ['answer', 'sqlite', 'unchecked', 'sqliteChecked', 'postgresChecked']
  const obvious = isQuick || concurrency === 1 ? [0] : [0, 1_000, 10_000]
  return [
    ...loads(floors, isQuick, name, { concurrency }),
    ...storedCounts[mode].map((stored) =>
      load('bundled', appendName(concurrency, stored), { concurrency, stored }),
    ),
    { type: 'loop', name: syncName(concurrency), loop: 'append', recordsPerSync: concurrency },
    ...obvious.map((stored) =>
      load('obvious', appendName(concurrency, stored), {
        concurrency,
        stored,
        ...(stored > 0 && { timing: slowly(stored) }),
      }),
    ),
    ...(isQuick && concurrency === 1 ? [] : [load('source', name, { concurrency })]),
  ]
}

function starts(stored: readonly number[]): StartPoint[] {
  return (['source', 'bundled'] as const).flatMap((server) =>
    stored
      .filter((records) => records === 0 || records >= 100_000)
      .map((records) => ({
        type: 'start' as const,
        name: startName(server, records),
        server,
        stored: records,
      })),
  )
}

/** The points with which each point of the receiver, and each floor without checks, is compared. */
export type Comparison = {
  readonly of: string
  readonly to: string
  readonly as: (typeof comparedAs)[number]
}

export const comparedAs = [
  'SQLite',
  'PostgreSQL',
  'transactions',
  'files',
  'obvious',
  'empty',
  'SQLite, no checks',
  'no checks',
  'no storage',
  'loop',
] as const

export function comparisons(points: readonly Point[]): readonly Comparison[] {
  const known = new Set(points.map(({ name }) => name))
  const found: Comparison[] = []
  const compare = (of: string, as: Comparison['as'], to: string): void => {
    if (known.has(to) && of !== to) found.push({ of, to, as })
  }
  for (const point of points) {
    if (point.type !== 'load') continue
    const same = point.name.slice(point.name.indexOf(': ') + 2)
    if (point.server === 'database' || point.server === 'databaseStandby') {
      const isAlone = point.server === 'database'
      compare(point.name, 'PostgreSQL', `${names[isAlone ? 'postgresChecked' : 'postgresStandby']}: ${same}`)
      const several = isAlone ? 'postgresTransactions' : 'transactionsStandby'
      compare(point.name, 'transactions', `${names[several]}: ${same}`)
      compare(point.name, 'files', `${names.bundled}: ${same}`)
    }
    if (!['bundled', 'source', 'unchecked'].includes(point.server)) continue
    const empty = appendName(point.concurrency)
    const isPlain = point.kind === 'append' && point.keepAlive && point.associations === 1
    const like = isPlain ? empty : same
    compare(point.name, 'SQLite', `SQLite: ${like}`)
    compare(point.name, 'PostgreSQL', `PostgreSQL: ${like}`)
    compare(point.name, 'obvious', `obvious program: ${same}`)
    if (point.stored > 0) compare(point.name, 'empty', `${names[point.server]}: ${empty}`)
    compare(point.name, 'SQLite, no checks', `SQLite, no checks: ${like}`)
    compare(point.name, 'no checks', `no checks: ${like}`)
    compare(point.name, 'no storage', `no storage: ${isPlain || !point.keepAlive ? like : appendName(64)}`)
    if (isPlain) compare(point.name, 'loop', syncName(point.concurrency))
    if (point.kind === 'overwrite') compare(point.name, 'loop', renames)
  }
  return found
}

/** The points whose names contain one of the words, and the points with which they are compared. Without words, all points. */
export function selected(points: readonly Point[], words: readonly string[]): readonly Point[] {
  if (words.length === 0) return points
  const wanted = new Set(
    points.filter(({ name }) => words.some((word) => name.includes(word))).map(({ name }) => name),
  )
  for (const { of, to } of comparisons(points)) if (wanted.has(of)) wanted.add(to)
  return points.filter(({ name }) => wanted.has(name))
}
