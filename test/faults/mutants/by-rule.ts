/** Chooses mistakes by rule (`generate.ts`) and the tests that should notice them, has them judged, and keeps the result. */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { tree } from './copy.ts'
import { type Generated, importsOf, mutantsOf, sample, sourcesIn, spread } from './generate.ts'
import { inCopies, judgeAll, type Verdict } from './judge.ts'
import { Kept } from './kept.ts'
import { linesRun, longestMs, type Ran, testsRunning } from './lines-run.ts'
import {
  leastPresent,
  readSample,
  readSurvivors,
  type Sampled,
  writeSample,
  writeSurvivors,
} from './sample.ts'

/** A mistake of the sample that makes its test take longer than this made it hang. */
const longestTestMs = 60_000
/** A test that takes no longer, measured with its coverage, is quick enough for the sample. */
const quickMs = 4_000
/** This share of the sample are mistakes that live with a reason. */
const shareOfLiving = 0.1
/** With a mistake a test file may take this many times as long as without it. */
const patience = 3
const leastPatienceMs = 30_000

/** Every mistake that can be made by rule in this tree. */
function allMistakes(): Generated[] {
  return sourcesIn(tree, 'src').flatMap((file) => mutantsOf(file, readFileSync(join(tree, file), 'utf8')))
}

/** These tests are for what lies outside `src/`: the client in PHP, deploy/, the documents, the tools and the rules of this tree. */
const elsewhere =
  /\/(alerts|bench|citations|fourth-addon|guard|host|hubzilla|node-version|pack|proxies|pull|readme|recipes|schemas|units|walls)\b/
const isTest = (file: string): boolean =>
  /^test\/(browser\/)?[^/]+\.test\.ts$/.test(file) && !elsewhere.test(file)

/**
 * Draws the sample for CI from what a run over `src/` has kept: mistakes that a quick test noticed, in turn from each directory of `src/`, and a
 * few of those that live with a reason.
 */
export function draw(count: number, seed: string, kept: string): number {
  const { lines, verdicts } = keptIn(kept)
  const killerOf = ({ name }: Generated): string | undefined => {
    const { by, hung } = verdicts.found.get(name) ?? {}
    const its = by && lines.found.get(by)
    return its && its !== 'left out' && its.ms <= quickMs && !hung ? by : undefined
  }
  const all = allMistakes()
  const reasons = reasonsFor()
  const living = sample(
    all.filter(({ name }) => reasons.get(name)),
    Math.round(count * shareOfLiving),
    seed,
  )
  const noticed = spread(all.filter(killerOf), ({ file }) => dirname(file), count, seed)
  const sampled = [
    ...living.map(({ name }) => ({ name, lives: reasons.get(name) as string })),
    ...noticed
      .slice(0, count - living.length)
      .map((mutant) => ({ name: mutant.name, killedBy: killerOf(mutant) as string })),
  ]
  writeSample(sampled.sort((x, y) => (x.name < y.name ? -1 : 1)))
  console.log(`${sampled.length} drawn; seed ${seed}`)
  return sampled.length === count ? 0 : 1
}

/** Makes the mistakes of the kept sample again, each against the test that noticed it. */
export async function judgeSample(): Promise<number> {
  const sampled = readSample()
  const killers = new Map(sampled.flatMap((each) => ('killedBy' in each ? [[each.name, each.killedBy]] : [])))
  const present = allMistakes().filter(({ name }) => killers.has(name))
  const plan = {
    testsOf: ({ name }: Generated) => [killers.get(name) as string],
    limitOf: () => longestTestMs,
  }
  const { judged, unsound } = await judgeAll(present, plan, new Kept())
  const lives = judged.filter(({ by }) => by === null).map(({ mutant }) => mutant.name)
  const excused = sampled.length - killers.size
  const gone = killers.size - present.length
  console.log(
    `\n${judged.length - lives.length} of ${present.length} killed; ${excused} live with a reason; ${gone} are gone, since their line has changed`,
  )
  if (present.length < killers.size * leastPresent) {
    console.log('too many are gone: draw a new sample with --over and --draw (see --help)')
    return 1
  }
  return closing([...lives, ...withoutReason(sampled)], unsound)
}

/** What a run over `src/` keeps in a directory: the lines that each test runs, and the verdict on each mistake. */
function keptIn(kept: string | undefined) {
  const at = (name: string): string | undefined => kept && join(kept, name)
  return {
    lines: new Kept<Ran | 'left out'>(at('lines.jsonl')),
    verdicts: new Kept<Verdict>(at('verdicts.jsonl')),
  }
}

/** The reasons why mistakes live, as far as somebody has written them down. */
function reasonsFor(): ReadonlyMap<string, string> {
  return new Map(readSurvivors().survivors.map((each) => [each.name, each.lives]))
}

/** Which lines each test runs. A test that does not pass, or that takes too long to be run for single mistakes, is left out. */
async function mapTests(lines: Kept<Ran | 'left out'>): Promise<Map<string, Ran>> {
  const ran = new Map<string, Ran>()
  await inCopies(sourcesIn(tree, 'test').filter(isTest), async (copy, test) => {
    const its = await lines.of(test, async () => (await linesRun(copy, test)) ?? 'left out')
    console.log(`${test}  ${its === 'left out' ? its : `${Math.round(its.ms)} ms`}`)
    if (its !== 'left out') ran.set(test, its)
  })
  return ran
}

/**
 * Makes `perFile` mistakes in each file of `src/`, and keeps the list of those that no test noticed. `kept` is a directory for what was found so
 * far: a second run with the same one continues there.
 */
export async function goOver(perFile: number, seed: string, kept?: string): Promise<number> {
  const { lines, verdicts } = keptIn(kept)
  const ran = await mapTests(lines)
  const imports = importsOf(tree, [...ran.keys()])
  const plan = {
    testsOf: ({ file, line }: Generated) => testsRunning(file, line, ran, imports),
    limitOf: (test: string) => Math.max(leastPatienceMs, patience * (ran.get(test)?.ms ?? longestMs)),
  }
  const chosen = spread(allMistakes(), ({ file }) => file, perFile, seed)
  const { judged, unsound } = await judgeAll(chosen, plan, verdicts)
  const killed = judged.filter(({ by }) => by).length
  const lives = judged.flatMap(({ mutant: { name }, by }) => (by ? [] : [name]))
  const reasons = reasonsFor()
  const survivors = lives.sort().map((name) => ({ name, lives: reasons.get(name) ?? '' }))
  const files = new Set(chosen.map(({ file }) => file)).size
  writeSurvivors({ seed, perFile, files, made: judged.length, killed, survivors })
  console.log(`\n${killed} of ${judged.length} killed, in ${files} files; seed ${seed}`)
  return closing(withoutReason(survivors), unsound)
}

function withoutReason(sampled: readonly Sampled[]): string[] {
  return sampled.filter((each) => 'lives' in each && each.lives === '').map(({ name }) => name)
}

function closing(unexcused: readonly string[], unsound: readonly string[]): number {
  for (const name of unexcused) console.log(`no test and no reason: ${name}`)
  for (const test of unsound) console.log(`fails without any mistake: ${test}`)
  return unexcused.length > 0 ? 1 : unsound.length > 0 ? 2 : 0
}
