/** The tables of a run, as plain text that is also Markdown. */
import { type Lone, totalOf } from './calls.ts'
import type { Cost } from './costs.ts'
import { type GoalVerdict, goals, judged, ratioOf, verdict } from './goals.ts'
import type { Machine } from './machine.ts'
import type { PairResult } from './paired.ts'
import { type Comparison, comparedAs, comparisons, type Timing } from './plan.ts'
import type { Result, Round } from './run.ts'
import { median } from './statistics.ts'

export type BenchReport = {
  readonly at: string
  readonly mode: string
  readonly machine: Machine
  readonly timing: Timing
  /** The points that could not be measured, and why. */
  readonly notes: readonly string[]
  readonly points: readonly PointReport[]
  readonly ratios: readonly RatioReport[]
  readonly goals: readonly GoalVerdict[]
  readonly acknowledged: number
  readonly lost: number
}

export type PointReport = {
  readonly name: string
  readonly median: Round
  readonly rounds: readonly Round[]
}
export type RatioReport = Comparison & { readonly ratio: number }
export function reportOf(
  results: readonly Result[],
  about: Pick<BenchReport, 'at' | 'mode' | 'machine' | 'timing' | 'notes'>,
): BenchReport {
  const failures = results.flatMap(({ point, failed }) => (failed ? [`${point.name}: ${failed}`] : []))
  return {
    ...about,
    notes: [...about.notes, ...failures],
    points: results.map(({ point, rounds }) => ({ name: point.name, median: medians(rounds), rounds })),
    ratios: comparisons(results.map(({ point }) => point)).map((comparison) => ({
      ...comparison,
      ratio: ratioOf(results, comparison.of, comparison.to),
    })),
    goals: goals.map((goal) => judged(goal, results)),
    acknowledged: sum(results, 'acknowledged'),
    lost: sum(results, 'lost'),
  }
}

function sum(results: readonly Result[], figure: 'acknowledged' | 'lost'): number {
  return results.flatMap(({ rounds }) => rounds).reduce((total, round) => total + (round[figure] ?? 0), 0)
}

function medians(rounds: readonly Round[]): Round {
  const figures = new Set(rounds.flatMap((round) => Object.keys(round) as (keyof Round)[]))
  return Object.fromEntries(
    [...figures].map((figure) => [figure, median(rounds.flatMap((round) => round[figure] ?? []))]),
  )
}

export function textOf(report: BenchReport): string {
  return [
    machineText(report),
    table(['in the shape of real traffic', 'found', ''], trafficRows(report)),
    table(
      ['point', 'req/s', 'p50 ms', 'p99 ms', 'peak MB', 'CPU µs/req', ...comparedAs.map((as) => `÷ ${as}`)],
      report.points.flatMap((point) => pointRow(point, report.ratios)),
    ),
    goalsText(report.goals),
    lossText(report),
    ...report.notes.map((note) => `Note: ${note}`),
  ].join('\n\n')
}

/** The table of costs. Each was measured once, so there are no medians. */
export function costsText(
  { at, machine }: Pick<BenchReport, 'at' | 'machine'>,
  costs: readonly Cost[],
): string {
  const rows = costs.map(({ what, found, unit }) => [what, figure(found, found < 100 ? 1 : 0), unit])
  return [
    `${at.slice(0, 10)}, costs that grow\n${hostText(machine)}`,
    table(['what', 'found', ''], rows),
  ].join('\n\n')
}

/** The table of pairs. Goals that are ratios are judged by the pairs; the other goals are not measured. */
export function pairsText(
  { at, machine }: Pick<BenchReport, 'at' | 'machine'>,
  pairs: readonly PairResult[],
  notes: readonly string[],
): string {
  const rows = pairs.map(({ of, to, ratios, ratio, quartiles, speeds, cpu }) => [
    `${of} ÷ ${to}`,
    figure(ratio, 2),
    `${figure(quartiles[0], 2)} to ${figure(quartiles[1], 2)}`,
    String(ratios.length),
    ...speeds.map((speed) => figure(speed, speed < 100 ? 1 : 0)),
    ...cpu.map((microseconds) => figure(microseconds, 0)),
  ])
  const judged = goals.flatMap((goal) => {
    const found = 'to' in goal && pairs.find(({ of, to }) => of === goal.of && to === goal.to)
    return found
      ? [
          verdict(
            `${found.of} ÷ ${found.to}`,
            `at least ${goal.least}`,
            found.ratio,
            found.ratio >= goal.least,
          ),
        ]
      : []
  })
  const failures = pairs.flatMap(({ of, to, failed }) => (failed ? [`${of} ÷ ${to}: ${failed}`] : []))
  const sum = (what: 'acknowledged' | 'lost'): number => pairs.reduce((total, pair) => total + pair[what], 0)
  return [
    `${at.slice(0, 10)}, both sides in turns\n${hostText(machine)}`,
    table(
      ['pair', 'ratio', 'quartiles', 'turns', 'req/s', 'of the other', 'CPU µs/req', 'of the other'],
      rows,
    ),
    goalsText(judged),
    lossText({ acknowledged: sum('acknowledged'), lost: sum('lost') }),
    ...[...notes, ...failures].map((note) => `Note: ${note}`),
  ].join('\n\n')
}

/** The table of calls by name, the most frequent first. */
export function callsText(
  { at, machine }: Pick<BenchReport, 'at' | 'machine'>,
  found: readonly Lone[],
): string {
  const names = new Set(found.flatMap(({ calls }) => [...calls.keys()]))
  const most = (name: string): number => Math.max(...found.map(({ calls }) => calls.get(name) ?? 0))
  const row = (name: string, count: (of: Lone) => number): string[] => [
    name,
    ...found.map((of) => figure(count(of), 0)),
  ]
  return [
    `${at.slice(0, 10)}, system calls of all threads\n${hostText(machine)}`,
    table(
      ['', ...found.map(({ what }) => what)],
      [
        row('all calls', totalOf),
        row('turns of the event loop', ({ turns }) => turns),
        ...[...names]
          .sort((a, b) => most(b) - most(a))
          .map((name) => row(name, ({ calls }) => calls.get(name) ?? 0)),
      ],
    ),
  ].join('\n\n')
}

function goalsText(verdicts: readonly GoalVerdict[]): string {
  return table(
    ['goal', 'wanted', 'found', ''],
    verdicts.map(({ goal, wanted, found, reached }) => [
      goal,
      wanted,
      figure(found, found !== undefined && found > 20 ? 0 : 2),
      reached === undefined ? 'not measured' : reached ? 'reached' : 'NOT REACHED',
    ]),
  )
}

function hostText({ cores, processor, memoryGb, system, node, fileSystem, load }: Machine): string {
  const busy =
    load > 0.5
      ? `\nThe machine was busy (load ${load.toFixed(1)}) before this began: do not trust the figures.`
      : ''
  return `${cores} cores of ${processor}, ${memoryGb} GB, ${system}, Node ${node}, ${fileSystem}${busy}`
}

function machineText({ machine, timing, mode, at }: BenchReport): string {
  const rounds = timing.rounds === 1 ? '1 round: no medians' : `medians of ${timing.rounds} rounds`
  return `${at.slice(0, 10)}, ${mode}: ${rounds}, ${timing.measureMs / 1000} s a point after ${timing.warmMs / 1000} s of warming up
${hostText(machine)}`
}

type FigureRow = readonly [figure: keyof Round, what: string, digits: number, unit: string]

/** The figures of points that are no load. Figures that a point does not have are not printed. */
const told: readonly FigureRow[] = [
  ['startMs', 'from the start of the process to the first receipt', 0, 'ms'],
  ['firstMs50', 'median of the first requests', 2, 'ms'],
  ['warmMs50', 'median when warm', 2, 'ms'],
  ['firstTimes', 'the first ones ÷ the warm ones', 2, '×'],
  ['p50', 'what a sender waits, p50', 2, 'ms'],
  ['p99', 'what a sender waits, p99', 2, 'ms'],
  ['diskBytesPerRecord', 'written to the disk for each record', 0, 'bytes'],
  ['wakeUpsPerSecond', 'wake-ups when idle', 2, 'a second'],
  ['idleCpuMsPerHour', 'processor time when idle', 0, 'ms an hour'],
  ['idleBytes', 'written to the disk when idle', 0, 'bytes'],
]

function trafficRows({ points }: BenchReport): string[][] {
  return points
    .filter(({ median }) => median.requestsPerSecond === undefined)
    .flatMap(({ name, median }) =>
      told
        .filter(([key]) => median[key] !== undefined)
        .map(([key, what, digits, unit]) => [`${name}: ${what}`, figure(median[key], digits), unit]),
    )
}

function pointRow({ name, median: of }: PointReport, ratios: readonly RatioReport[]): string[][] {
  if (of.requestsPerSecond === undefined) return []
  const to = (as: Comparison['as']): string =>
    figure(ratios.find((ratio) => ratio.of === name && ratio.as === as)?.ratio, 2)
  return [
    [
      name,
      figure(of.requestsPerSecond, of.requestsPerSecond < 100 ? 1 : 0),
      figure(of.p50, 2),
      figure(of.p99, 2),
      figure(of.peakRssMb, 0),
      figure(of.cpuPerRequest, 0),
      ...comparedAs.map(to),
    ],
  ]
}

function lossText({ acknowledged, lost }: Pick<BenchReport, 'acknowledged' | 'lost'>): string {
  const looked = `${acknowledged.toLocaleString('en-US')} acknowledged records were looked for on disk after SIGKILL`
  return lost === 0 ? `${looked}: all are there.` : `${looked}: ${lost.toLocaleString('en-US')} ARE LOST.`
}

function figure(value: number | undefined, digits: number): string {
  if (value === undefined || Number.isNaN(value)) return ''
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** A table with text aligned to the left and figures to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const isText = head.map((_, column) => rows.some((row) => /^[A-Za-z]/.test(row[column] ?? '')))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => (isText[at] ? cell.padEnd(widths[at] as number) : cell.padStart(widths[at] as number))).join(' | ')} |`
  const rule = `|${widths.map((width, at) => (isText[at] ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(head), rule, ...rows.map(line)].join('\n')
}
