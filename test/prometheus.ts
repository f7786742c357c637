/** Asks promtool which of the example alerts fire, given the answers of a real receiver to two scrapes. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { scratchDir } from './receiver.ts'

/** The value of each series, by its name with labels. */
export type Scrape = ReadonlyMap<string, number>

const job = 'civic-orchestrator'
const scrapeOf = (isUp: 0 | 1): [string, number] => ['up', isUp]
/** The scrape of a receiver that does not answer. */
export const nothing: Scrape = new Map([scrapeOf(0)])

/** Who does not answer within the time of a scrape counts as down; the default is that of Prometheus. */
export async function scrape(url: string, withinMs = 10_000): Promise<Scrape> {
  const signal = AbortSignal.timeout(withinMs)
  const response = await fetch(`${url}/metrics`, { signal }).catch(() => undefined)
  return response === undefined ? nothing : scrapeIn(await response.text())
}

export function scrapeIn(text: string): Scrape {
  const lines = text.split('\n').filter((line) => line.startsWith('civic_'))
  const values = lines.map((line): [string, number] => {
    const end = line.lastIndexOf(' ')
    return [line.slice(0, end), Number(line.slice(end + 1))]
  })
  return new Map([scrapeOf(1), ...values])
}

/** For so many minutes the values are those of `before`, then those of `after`. A counter grows each minute by the difference of the two. */
const wellMinutes = 20

/**
 * Requires that exactly these alerts fire `minutes` after the fault began, and none before it. The clock of promtool begins at 0, so all
 * times are relative to its beginning. The fault begins now, or `hoursLater`.
 */
export function requireFiring(
  { before, after, hoursLater = 0 }: { before: Scrape; after: Scrape; hoursLater?: number },
  minutes: number,
  alerts: readonly string[],
): void {
  const zero = Date.now() / 1000 + hoursLater * 3600 - wellMinutes * 60
  const input_series = [...new Set([...before.keys(), ...after.keys()])].map((series) => {
    const shift = series.includes('_timestamp_seconds') ? zero : 0
    return { series: withJob(series), values: valuesOf(before.get(series), after.get(series), shift, series) }
  })
  const test = {
    rule_files: [resolve('deploy/prometheus/alerts.yml')],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series,
        promql_expr_test: [
          {
            expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
            eval_time: `${wellMinutes + minutes}m`,
            exp_samples: [...new Set(alerts)].map((name) => ({
              labels: `{alertname="${name}"}`,
              value: alerts.filter((each) => each === name).length,
            })),
          },
          // Before the fault no alert fires.
          { expr: 'count(ALERTS)', eval_time: `${wellMinutes}m`, exp_samples: [] },
        ],
      },
    ],
  }
  const file = join(scratchDir(), 'test.yml')
  // JSON is valid YAML.
  writeFileSync(file, JSON.stringify(test))
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' })
  assert.equal(status, 0, `${stdout}${stderr}`)
}

function withJob(series: string): string {
  const [name, labels = ''] = series.split(/[{}]/)
  return `${name}{${[`job="${job}"`, ...(labels === '' ? [] : [labels])].join()}}`
}

const isCounter = (series: string): boolean => /^[a-z_]+_(total|bucket|sum|count)\b/.test(series)

/** The values in promtool's notation: `_x3` is no value three times, `1+2x3` is 1, 3, 5, 7. */
function valuesOf(
  before: number | undefined,
  after: number | undefined,
  shift: number,
  series: string,
): string {
  const early = before === undefined ? `_x${wellMinutes + 1}` : `${plain(before - shift)}+0x${wellMinutes}`
  if (after === undefined) return `${early} stale`
  const step = isCounter(series) ? after - (before ?? 0) : 0
  return `${early} ${plain(after - shift)}+${plain(step)}x60`
}

/** Prints a number without an exponent, because promtool would read an exponent as a step. */
function plain(value: number): string {
  return value.toFixed(6)
}
