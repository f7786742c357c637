/** Makes mistakes by rule (`generate.ts`) one after another, each in a copy of the tree, and runs the tests that should notice it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Copy, tree } from './copy.ts'
import { type Generated, importsOf, mutantsOf, sample, sourcesIn, spread, testsFor } from './generate.ts'
import { linesRun, type Ran, testsRunning } from './lines-run.ts'
import {
  isLeftOut,
  leastPresent,
  readSample,
  readSurvivors,
  type Sampled,
  writeSample,
  writeSurvivors,
} from './sample.ts'

/** A test file that takes longer than this, without coverage, counts as one that a mistake made hang. */
const longestTestMs = 120_000
/** At most so many test files are run to notice a mistake of the sample. */
const mostTests = 4
/** With a mistake a test file may take this many times as long as without it. */
const patience = 5
const leastPatienceMs = 30_000

/** Every mistake that can be made by rule in this tree. */
function allMistakes(): Generated[] {
  return sourcesIn(tree, 'src').flatMap((file) => mutantsOf(file, readFileSync(join(tree, file), 'utf8')))
}

type Judged = { readonly mutant: Generated; readonly by: string | undefined }
type Plan = {
  readonly testsOf: (mutant: Generated) => readonly string[]
  readonly limitOf: (test: string) => number
}

class Judge {
  readonly #copy: Copy
  readonly #plan: Plan
  /** Tests that failed without any mistake. */
  readonly unsound = new Set<string>()

  constructor(copy: Copy, plan: Plan) {
    this.#copy = copy
    this.#plan = plan
  }

  async judge(mutant: Generated): Promise<Judged> {
    for (const test of this.#plan.testsOf(mutant))
      if (await this.#kills(test, mutant)) return told(mutant, test)
    return told(mutant, undefined)
  }

  /**
   * Whether the test fails with the mistake and passes right afterwards without it. On a busy machine a test may fail by chance, so if both
   * runs fail, the pair is tried once more.
   */
  async #kills(test: string, mutant: Generated): Promise<boolean> {
    const limit = this.#plan.limitOf(test)
    for (let tries = 0; tries < 2; tries++) {
      if (await this.#copy.with(mutant, () => this.#copy.passes(test, limit))) return false
      if (await this.#copy.passes(test, limit)) return true
    }
    this.unsound.add(test)
    return false
  }
}

function told(mutant: Generated, by: string | undefined): Judged {
  console.log(`${mutant.name}  ${by ? `killed by ${by}` : 'survived'}`)
  return { mutant, by }
}

/** Judges the mistakes two at a time, each in a copy of its own, or one at a time. */
async function judgeAll(
  chosen: readonly Generated[],
  plan: Plan,
  copies: readonly Copy[],
): Promise<{ judged: Judged[]; unsound: ReadonlySet<string> }> {
  const waiting = [...chosen]
  const judged: Judged[] = []
  const unsound = new Set<string>()
  const work = async (copy: Copy): Promise<void> => {
    const judge = new Judge(copy, plan)
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift())
      judged.push(await judge.judge(mutant))
    for (const test of judge.unsound) unsound.add(test)
  }
  await Promise.all(copies.map(work))
  return { judged, unsound }
}

const isTest = (file: string): boolean => /^test\/(browser\/)?[^/]+\.test\.ts$/.test(file)

/** Draws a sample, judges it with the tests that import least beside each file, and keeps it for CI. */
export async function draw(count: number, seed: string): Promise<number> {
  const all = allMistakes().filter(({ file }) => !isLeftOut(file))
  const tests = sourcesIn(tree, 'test').filter((file) => /^test\/[^/]+\.test\.ts$/.test(file))
  const imports = importsOf(tree, tests)
  const plan = {
    testsOf: ({ file }: Generated) => testsFor(file, imports, mostTests),
    limitOf: () => longestTestMs,
  }
  const { judged, unsound } = await judgeAll(sample(all, count, seed), plan, [new Copy(), new Copy()])
  const reasons = new Map(readSample().map((each) => [each.name, 'lives' in each ? each.lives : '']))
  const sampled = judged.map(({ mutant: { name }, by }) =>
    by ? { name, killedBy: by } : { name, lives: reasons.get(name) ?? '' },
  )
  writeSample(sampled.sort((a, b) => (a.name < b.name ? -1 : 1)))
  const killed = judged.filter(({ by }) => by).length
  console.log(`\n${killed} of ${judged.length} killed, of ${all.length} that can be made; seed ${seed}`)
  return closing(withoutReason(sampled), unsound)
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
  const { judged, unsound } = await judgeAll(present, plan, [new Copy(), new Copy()])
  const lives = judged.filter(({ by }) => by === undefined).map(({ mutant }) => mutant.name)
  const excused = sampled.length - killers.size
  const gone = killers.size - present.length
  console.log(
    `\n${judged.length - lives.length} of ${present.length} killed; ${excused} live with a reason; ${gone} are gone, since their line has changed`,
  )
  if (present.length < killers.size * leastPresent) {
    console.log('too many are gone: draw a new sample with npm run test:mutants -- --draw 60')
    return 1
  }
  return closing([...lives, ...withoutReason(sampled)], unsound)
}

/** Makes `perFile` mistakes in each file of `src/`, and keeps the list of those that no test noticed. */
export async function goOver(perFile: number, seed: string): Promise<number> {
  const copy = new Copy()
  const tests = sourcesIn(tree, 'test').filter(isTest)
  const ran = new Map<string, Ran>()
  for (const test of tests) {
    const found = await linesRun(copy, test)
    if (found) ran.set(test, found)
    console.log(`${test}  ${found ? `${Math.round(found.ms)} ms` : 'does not pass, and is left out'}`)
  }
  const imports = importsOf(tree, [...ran.keys()])
  const plan = {
    testsOf: ({ file, line }: Generated) => testsRunning(file, line, ran, imports),
    limitOf: (test: string) => Math.max(leastPatienceMs, patience * (ran.get(test)?.ms ?? 0)),
  }
  const chosen = spread(allMistakes(), perFile, seed)
  const { judged, unsound } = await judgeAll(chosen, plan, [copy])
  const killed = judged.filter(({ by }) => by).length
  const lives = judged.flatMap(({ mutant: { name }, by }) => (by ? [] : [name]))
  const reasons = new Map(readSurvivors().survivors.map((each) => [each.name, each.lives]))
  const survivors = lives.sort().map((name) => ({ name, lives: reasons.get(name) ?? '' }))
  const files = new Set(chosen.map(({ file }) => file)).size
  writeSurvivors({ seed, perFile, files, made: judged.length, killed, survivors })
  console.log(`\n${killed} of ${judged.length} killed, in ${files} files; seed ${seed}`)
  return closing(withoutReason(survivors), unsound)
}

function withoutReason(sampled: readonly Sampled[]): string[] {
  return sampled.filter((each) => 'lives' in each && each.lives === '').map(({ name }) => name)
}

function closing(unexcused: readonly string[], unsound: ReadonlySet<string>): number {
  for (const name of unexcused) console.log(`no test and no reason: ${name}`)
  for (const test of unsound) console.log(`fails without any mistake: ${test}`)
  return unexcused.length > 0 ? 1 : unsound.size > 0 ? 2 : 0
}
