/**
 * `npm run bench -- --paired`: both sides of a ratio run at the same time and take turns of less than a second, so that other work of the
 * machine slows both. The result is the median of the ratios of neighbouring turns, with quartiles. It is valid even on a busy machine, where
 * the speed of a single point means nothing.
 */
import { join } from 'node:path'
import type { Slice } from './job.ts'
import { type Comparison, comparisons, type LoadPoint, type Point } from './plan.ts'
import type { Load, Running } from './programs.ts'
import { type Bench, jobFor, readBack, type Watcher, withRecords } from './run.ts'
import { median, quantile } from './statistics.ts'

export type Pair = { readonly of: LoadPoint; readonly to: LoadPoint }

export type PairResult = {
  readonly of: string
  readonly to: string
  /** One ratio for each turn of both sides. */
  readonly ratios: readonly number[]
  readonly ratio: number
  readonly quartiles: readonly [number, number]
  readonly speeds: readonly [of: number, to: number]
  /** Processor time for a request, in µs, of the process that answers, without a database behind it. */
  readonly cpu: readonly [of: number, to: number]
  readonly acknowledged: number
  readonly lost: number
  readonly failed?: string
}

const sliceMs = 600

/** The receiver is compared with each peer that does the same work and with the receiver on files; a long file with an empty one. */
const wanted: readonly Comparison['as'][] = ['SQLite', 'PostgreSQL', 'transactions', 'files', 'empty']
const receivers: readonly LoadPoint['server'][] = ['bundled', 'database', 'databaseStandby']

export function pairsIn(points: readonly Point[]): readonly Pair[] {
  const load = (name: string): LoadPoint | undefined =>
    points.find((point): point is LoadPoint => point.type === 'load' && point.name === name)
  return comparisons(points)
    .filter(({ as }) => wanted.includes(as))
    .flatMap(({ of, to, as }) => {
      const [one, other] = [load(of), load(to)]
      const isWanted = one && receivers.includes(one.server) && (as === 'empty' || one.stored === 0)
      return one && other && isWanted ? [{ of: one, to: other }] : []
    })
}

export async function runPairs(
  pairs: readonly Pair[],
  turns: number,
  bench: Bench,
  { progress }: Watcher,
): Promise<readonly PairResult[]> {
  const results: PairResult[] = []
  for (const [at, pair] of pairs.entries()) {
    progress(at, pairs.length, `${pair.of.name} ÷ ${pair.to.name}`)
    results.push(await measurePair(bench, pair, turns))
  }
  return results
}

type Side = {
  readonly point: LoadPoint
  readonly server: Running
  readonly load: Load
  readonly list: string
}

async function measurePair(bench: Bench, { of, to }: Pair, turns: number): Promise<PairResult> {
  return withRecords(bench, of.stored, (root, from) =>
    withRecords(bench, to.stored, async (otherRoot) => {
      const started: Running[] = []
      const side = async (point: LoadPoint, dataDir: string, name: string): Promise<Side> => {
        const server = await bench.programs.start(point.server, dataDir)
        started.push(server)
        const list = join(bench.scratch, `acknowledged-${name}`)
        const load = bench.programs.load({ ...jobFor(point, bench.timing, server, list), sliceMs })
        await load.ready
        return { point, server, load, list }
      }
      try {
        const one = await side(of, root, 'of')
        const other = await side(to, otherRoot, 'to')
        const slices = await takeTurns(one.load, other.load, turns)
        for (const { load, server } of [one, other]) {
          load.goOn()
          await server.kill()
          await load.done
        }
        return { ...resultOf(of, to, slices), ...(await readBack(of, root, one.list, from)) }
      } catch (error) {
        return { ...resultOf(of, to, []), failed: (error as Error).message }
      } finally {
        for (const server of started) await server.kill()
      }
    }),
  )
}

type Turn = readonly [of: Slice, to: Slice]

/** Each side goes first as often as the other, so that a speed that drifts in the meantime favours neither. */
async function takeTurns(of: Load, to: Load, turns: number): Promise<readonly Turn[]> {
  const taken: Turn[] = []
  for (let turn = 0; turn < turns; turn++) {
    const isFirst = turn % 2 === 0
    const first = await (isFirst ? of : to).slice()
    const second = await (isFirst ? to : of).slice()
    taken.push(isFirst ? [first, second] : [second, first])
  }
  return taken
}

/** A turn in which one side answered nothing says nothing about the ratio, and is left out. */
export function resultOf(
  of: Pick<LoadPoint, 'name'>,
  to: Pick<LoadPoint, 'name'>,
  turns: readonly Turn[],
): PairResult {
  const told = turns.filter((turn) => turn.every(({ requestsPerSecond }) => requestsPerSecond > 0))
  const ratios = told.map(([one, other]) => one.requestsPerSecond / other.requestsPerSecond)
  const both = (figure: (slice: Slice) => number): readonly [number, number] => [
    median(told.map(([one]) => figure(one))),
    median(told.map(([, other]) => figure(other))),
  ]
  return {
    of: of.name,
    to: to.name,
    ratios,
    ratio: median(ratios),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    speeds: both(({ requestsPerSecond }) => requestsPerSecond),
    cpu: both(({ cpuPerRequest }) => cpuPerRequest),
    acknowledged: 0,
    lost: 0,
  }
}
