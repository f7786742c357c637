/** The tables of a run, as plain text that is also Markdown. */
import type { Cost } from './costs.ts'
import type { Machine } from './machine.ts'
import { type Comparison, comparisons, type Goal, goals, type Timing } from './plan.ts'
import type { Result, Round } from './run.ts'
import { median, medianRatio } from './statistics.ts'

export type Report = {
  readonly at: string
  readonly mode: string
  readonly machine: Machine
  readonly timing: Timing
  /** What could not be measured, and why. */
  readonly notes: readonly string[]
  readonly points: readonly PointReport[]
  readonly ratios: readonly RatioReport[]
  readonly goals: readonly GoalReport[]
  readonly acknowledged: number
  readonly lost: number
}

export type PointReport = {
  readonly name: string
  readonly median: Round
  readonly rounds: readonly Round[]
}
export type RatioReport = Comparison & { readonly ratio: number }
export type GoalReport = {
  readonly goal: string
  readonly wanted: string
  readonly found: number | undefined
  readonly reached: boolean | undefined
}

/** `bundled` answers every memory goal; from source, tsx itself costs 30 MB. */
export function reportOf(
  results: readonly Result[],
  about: Pick<Report, 'at' | 'mode' | 'machine' | 'timing' | 'notes'>,
): Report {
  const byName = new Map(results.map((result) => [result.point.name, result]))
  const failures = results.flatMap(({ point, failed }) => (failed ? [`${point.name}: ${failed}`] : []))
  return {
    ...about,
    notes: [...about.notes, ...failures],
    points: results.map(({ point, rounds }) => ({ name: point.name, median: medians(rounds), rounds })),
    ratios: comparisons(results.map(({ point }) => point)).map((comparison) => ({
      ...comparison,
      ratio: ratioOf(byName, comparison.of, comparison.to),
    })),
    goals: goals.map((goal) => judged(goal, results, byName)),
    acknowledged: sum(results, 'acknowledged'),
    lost: sum(results, 'lost'),
  }
}

function sum(results: readonly Result[], figure: 'acknowledged' | 'lost'): number {
  return results.flatMap(({ rounds }) => rounds).reduce((total, round) => total + (round[figure] ?? 0), 0)
}

function medians(rounds: readonly Round[]): Round {
  const figures = new Set(rounds.flatMap((round) => Object.keys(round) as (keyof Round)[]))
  return Object.fromEntries([...figures].map((figure) => [figure, median(valuesOf(rounds, figure))]))
}

function valuesOf(rounds: readonly Round[], figure: keyof Round): number[] {
  return rounds.flatMap((round) => round[figure] ?? [])
}

function ratioOf(byName: ReadonlyMap<string, Result>, of: string, to: string): number {
  const values = (name: string): number[] => valuesOf(byName.get(name)?.rounds ?? [], 'requestsPerSecond')
  return medianRatio(values(of), values(to))
}

function judged(goal: Goal, results: readonly Result[], byName: ReadonlyMap<string, Result>): GoalReport {
  if ('to' in goal) {
    const found = ratioOf(byName, goal.of, goal.to)
    return verdict(`${goal.of} ÷ ${goal.to}`, `at least ${goal.least}`, found, found >= goal.least)
  }
  if (goal.figure === 'startMs') {
    const found = median(valuesOf(byName.get(goal.of)?.rounds ?? [], 'startMs'))
    return verdict(goal.of, `under ${goal.most} ms`, found, found < goal.most)
  }
  const peaks = results
    .filter(({ point }) => 'server' in point && point.server === 'bundled' && point.stored <= goal.storedUpTo)
    .map(({ rounds }) => median(valuesOf(rounds, 'peakRssMb')))
    .filter((peak) => !Number.isNaN(peak))
  const found = peaks.length > 0 ? Math.max(...peaks) : Number.NaN
  const where = `receiver: peak memory of every point up to ${goal.storedUpTo.toLocaleString('en-US')} stored`
  return verdict(where, `under ${goal.most} MB`, found, found < goal.most)
}

function verdict(goal: string, wanted: string, found: number, reached: boolean): GoalReport {
  return Number.isNaN(found)
    ? { goal, wanted, found: undefined, reached: undefined }
    : { goal, wanted, found, reached }
}

export function textOf(report: Report): string {
  return [
    machineText(report),
    table(
      [
        'point',
        'req/s',
        'p50 ms',
        'p99 ms',
        'p99.9 ms',
        'peak MB',
        'CPU µs/req',
        '÷ no storage',
        '÷ no checks',
        '÷ loop',
        '÷ SQLite',
        '÷ empty',
      ],
      report.points.map((point) => pointRow(point, report.ratios)),
    ),
    table(
      ['goal', 'wanted', 'found', ''],
      report.goals.map(({ goal, wanted, found, reached }) => [
        goal,
        wanted,
        figure(found, found !== undefined && found > 20 ? 0 : 2),
        reached === undefined ? 'not measured' : reached ? 'reached' : 'NOT REACHED',
      ]),
    ),
    lossText(report),
    ...report.notes.map((note) => `Note: ${note}`),
  ].join('\n\n')
}

/** One run each, so no medians. */
export function costsText({ at, machine }: Pick<Report, 'at' | 'machine'>, costs: readonly Cost[]): string {
  const rows = costs.map(({ what, found, unit }) => [what, figure(found, found < 100 ? 1 : 0), unit])
  return [
    `${at.slice(0, 10)}, costs that grow\n${hostText(machine)}`,
    table(['what', 'found', ''], rows),
  ].join('\n\n')
}

function hostText({ cores, processor, memoryGb, system, node, fileSystem, load }: Machine): string {
  const busy =
    load > 0.5
      ? `\nThe machine was busy (load ${load.toFixed(1)}) before this began: do not trust the figures.`
      : ''
  return `${cores} cores of ${processor}, ${memoryGb} GB, ${system}, Node ${node}, ${fileSystem}${busy}`
}

function machineText({ machine, timing, mode, at }: Report): string {
  const rounds = timing.rounds === 1 ? '1 round: no medians' : `medians of ${timing.rounds} rounds`
  return `${at.slice(0, 10)}, ${mode}: ${rounds}, ${timing.measureMs / 1000} s a point after ${timing.warmMs / 1000} s of warming up
${hostText(machine)}`
}

function pointRow({ name, median: of }: PointReport, ratios: readonly RatioReport[]): string[] {
  const to = (as: Comparison['as']): string =>
    figure(ratios.find((ratio) => ratio.of === name && ratio.as === as)?.ratio, 2)
  const speed = of.startMs === undefined ? figure(of.requestsPerSecond, 0) : `${figure(of.startMs, 0)} ms`
  return [
    name,
    speed,
    figure(of.p50, 2),
    figure(of.p99, 2),
    figure(of.p999, 2),
    figure(of.peakRssMb, 0),
    figure(of.cpuPerRequest, 0),
    to('no storage'),
    to('no checks'),
    to('loop'),
    to('SQLite'),
    to('empty'),
  ]
}

function lossText({ acknowledged, lost }: Report): string {
  const looked = `${acknowledged.toLocaleString('en-US')} acknowledged records were looked for on disk after SIGKILL`
  return lost === 0 ? `${looked}: all are there.` : `${looked}: ${lost.toLocaleString('en-US')} ARE LOST.`
}

function figure(value: number | undefined, digits: number): string {
  if (value === undefined || Number.isNaN(value)) return ''
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Text to the left, figures to the right. */
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
