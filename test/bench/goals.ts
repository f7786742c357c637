/** The goals for the bundled receiver on two cores and an ext4 with a journal, and whether a run reaches them. */
import { appendName, firstName, manyAssociations, newConnectionsName, overwrites, slowName } from './plan.ts'
import type { Result, Round } from './run.ts'
import { median, medianRatio } from './statistics.ts'

/** A goal is the least ratio of requests per second (`least`), or the highest value of a figure of the point itself (`most`). */
export type Goal =
  | { readonly of: string; readonly to: string; readonly least: number }
  | { readonly of: string; readonly figure: keyof Round; readonly what: string; readonly most: number }
  | { readonly figure: 'peakRssMb'; readonly storedUpTo: number; readonly most: number }

export type GoalVerdict = {
  readonly goal: string
  readonly wanted: string
  readonly found: number | undefined
  readonly reached: boolean | undefined
}

export const goals: readonly Goal[] = [
  ratio(appendName(64), `SQLite: ${appendName(64)}`, 3),
  ratio(manyAssociations, `SQLite: ${manyAssociations}`, 2.5),
  ratio(overwrites, `SQLite: ${overwrites}`, 1.2),
  ratio(appendName(1), `SQLite: ${appendName(1)}`, 0.9),
  ratio(newConnectionsName(1), `SQLite: ${newConnectionsName(1)}`, 0.9),
  ratio(appendName(64), `obvious program: ${appendName(64)}`, 10),
  ratio(appendName(64, 10_000), `obvious program: ${appendName(64, 10_000)}`, 1_000),
  ...onDatabase(appendName(64), 4),
  ...onDatabase(manyAssociations, 2),
  ...onDatabase(overwrites, 1.5),
  ...onDatabase(appendName(1), 1.1),
  { of: firstName, figure: 'startMs', what: 'ms from the start to the first receipt', most: 300 },
  { of: firstName, figure: 'firstTimes', what: '× the median when warm', most: 3 },
  { of: slowName(10_000), figure: 'wakeUpsPerSecond', what: 'wake-ups a second when idle', most: 5 },
  { of: slowName(10_000), figure: 'idleBytes', what: 'bytes written to disk when idle', most: 0 },
  { figure: 'peakRssMb', storedUpTo: 100_000, most: 110 },
  { of: `receiver from source: ${appendName(64)}`, figure: 'peakRssMb', what: 'MB at the peak', most: 110 },
  ratio(appendName(1, 100_000), `receiver: ${appendName(1)}`, 0.95),
  ratio(appendName(64, 100_000), `receiver: ${appendName(64)}`, 0.95),
]

function ratio(of: string, to: string, least: number): Goal {
  return { of: `receiver: ${of}`, to, least }
}

/** The goals for the receiver on a database, compared with one transaction for each request and the same checks. */
function onDatabase(of: string, least: number): Goal[] {
  return ['', ' with standby'].map((standby) => ({
    of: `receiver on PostgreSQL${standby}: ${of}`,
    to: `transactions${standby}: ${of}`,
    least,
  }))
}

/** The median of the ratios of all rounds, for points that were measured one after the other. */
export function ratioOf(results: readonly Result[], of: string, to: string): number {
  const speeds = (name: string): number[] => valuesOf(results, name, 'requestsPerSecond')
  return medianRatio(speeds(of), speeds(to))
}

/** The values of a figure, a round each. Rounds are compared by their place, so a round that could not be measured ends both sides of a ratio. */
export function valuesOf(results: readonly Result[], name: string, figure: keyof Round): number[] {
  const rounds = results.find(({ point }) => point.name === name)?.rounds ?? []
  return rounds.flatMap((round) => round[figure] ?? [])
}

export function judged(goal: Goal, results: readonly Result[]): GoalVerdict {
  if ('to' in goal) {
    const found = ratioOf(results, goal.of, goal.to)
    return verdict(`${goal.of} ÷ ${goal.to}`, `at least ${count(goal.least)}`, found, found >= goal.least)
  }
  const wanted = `at most ${count(goal.most)}`
  if ('of' in goal) {
    const found = median(valuesOf(results, goal.of, goal.figure))
    return verdict(`${goal.of}: ${goal.what}`, wanted, found, found <= goal.most)
  }
  const peaks = results
    .filter(
      ({ point }) => point.type === 'load' && point.server === 'bundled' && point.stored <= goal.storedUpTo,
    )
    .map(({ point }) => median(valuesOf(results, point.name, 'peakRssMb')))
    .filter((peak) => !Number.isNaN(peak))
  const found = peaks.length > 0 ? Math.max(...peaks) : Number.NaN
  return verdict(
    `receiver: MB at the peak of every point up to ${count(goal.storedUpTo)} stored`,
    wanted,
    found,
    found <= goal.most,
  )
}

const count = (value: number): string => value.toLocaleString('en-US')

export function verdict(goal: string, wanted: string, found: number, reached: boolean): GoalVerdict {
  return Number.isNaN(found)
    ? { goal, wanted, found: undefined, reached: undefined }
    : { goal, wanted, found, reached }
}
