/**
 * Shows that the tests can fail. It makes each mistake of `test/faults/mutants/list.ts` in a copy of the tree and runs the tests that must notice
 * the mistake. Exit: 0 every mistake was noticed; 1 one was not, or does not fit the source any more; 2 the program cannot run. With `--sample` or
 * `--draw` it makes mistakes by rule in all of `src/` (`generate.ts`, `sample.ts`) instead of those of the list.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  type Generated,
  importsOf,
  mutantsOf,
  sample,
  sourcesIn,
  testsFor,
} from '../test/faults/mutants/generate.ts'
import { type Check, type Mutant, mutants } from '../test/faults/mutants/list.ts'
import {
  isLeftOut,
  leastPresent,
  readSample,
  type Sampled,
  writeSample,
} from '../test/faults/mutants/sample.ts'

const help = `Breaks each invariant on purpose, in a copy of the tree, and shows what notices it.

  npm run test:mutants -- [--only name,name] [--seed N] [--list] [--no-baseline] [--help]
  npm run test:mutants -- --sample
  npm run test:mutants -- --draw N [--seed N]

  --sample        not those of the list, but the mistakes made by rule that test/faults/mutants/sample.json keeps, each
                  against the test that noticed it (4 minutes for 40)
  --draw N        draws that sample anew: N of the mistakes that can be made by rule in src/, always the same ones for one
                  seed and tree, each against the tests that import least beside its file; for one that survives, write
                  the reason into sample.json, or a test and draw again

  --only a,b      these mutants (--list names them)
  --seed N        for the fault parts (default 1)
  --no-baseline   does not first show that every check passes without a mutant

Exit: 0 all killed, 1 one survived or does not fit the source any more, 2 cannot run.`

const tree = fileURLToPath(new URL('..', import.meta.url))
const copied = ['src', 'contracts', 'test', 'scripts', 'deploy', 'package.json', 'tsconfig.json']
/** Longer than any check; a mutant that hangs is killed. */
const longestMs = 300_000

type CheckVerdict = 'passed' | 'failed' | 'could not run'

/** A test file longer than this has been made to hang. */
const longestTestMs = 60_000
/** So many test files have to notice a mistake made by rule. */
const mostTests = 4

const nameOf = (check: Check): string => ('part' in check ? `part ${check.part}` : check.test)

function copyOfTree(): string {
  const root = mkdtempSync(join(tmpdir(), 'civic-mutants-'))
  process.on('exit', () => rmSync(root, { recursive: true, force: true }))
  // some tests run a receiver as a user without rights, who has to read it
  chmodSync(root, 0o755)
  for (const name of copied) cpSync(join(tree, name), join(root, name), { recursive: true })
  symlinkSync(join(tree, 'node_modules'), join(root, 'node_modules'))
  return root
}

/** Every mistake that can be made by rule in this tree. */
function allMistakes(): Generated[] {
  const sources = sourcesIn(tree, 'src').filter((file) => !isLeftOut(file))
  return sources.flatMap((file) => mutantsOf(file, readFileSync(join(tree, file), 'utf8')))
}

type Judged = { readonly mutant: Generated; readonly by: string | undefined }

/** Makes each mistake, two at a time, each in a copy of its own, and runs the tests that are named for it. */
async function judgeAll(
  chosen: readonly Generated[],
  testsOf: (mutant: Generated) => readonly string[],
): Promise<{ judged: Judged[]; unsound: string[] }> {
  const waiting = [...chosen]
  const judged: Judged[] = []
  const unsound: string[] = []
  /** Whether a test passes without any mistake. */
  const sound = new Map<string, Promise<boolean>>()
  const worker = async (): Promise<void> => {
    const root = copyOfTree()
    const isSound = (test: string): Promise<boolean> => {
      const known = sound.get(test)
      if (known) return known
      const verdict = passes(root, test)
      sound.set(test, verdict)
      void verdict.then((isSound) => isSound || unsound.push(test))
      return verdict
    }
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const by = await killerOf(root, mutant, testsOf(mutant), isSound)
      judged.push({ mutant, by })
      console.log(`${mutant.name}  ${by ? `killed by ${by}` : 'survived'}`)
    }
  }
  await Promise.all([worker(), worker()])
  return { judged, unsound }
}

/** Draws a sample, judges it with the tests that import least beside each file, and keeps it for CI. */
async function draw(count: number, seed: string): Promise<number> {
  const all = allMistakes()
  const tests = sourcesIn(tree, 'test').filter((file) => /^test\/[^/]+\.test\.ts$/.test(file))
  const imports = importsOf(tree, tests)
  const { judged, unsound } = await judgeAll(sample(all, count, seed), ({ file }) =>
    testsFor(file, imports, mostTests),
  )
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
async function judgeSample(): Promise<number> {
  const sampled = readSample()
  const killers = new Map(sampled.flatMap((each) => ('killedBy' in each ? [[each.name, each.killedBy]] : [])))
  const present = allMistakes().filter(({ name }) => killers.has(name))
  const { judged, unsound } = await judgeAll(present, ({ name }) => [killers.get(name) as string])
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

function withoutReason(sampled: readonly Sampled[]): string[] {
  return sampled.filter((each) => 'lives' in each && each.lives === '').map(({ name }) => name)
}

function closing(unexcused: readonly string[], unsound: readonly string[]): number {
  for (const name of unexcused) console.log(`no test and no reason: ${name}`)
  for (const test of unsound) console.log(`fails without any mistake: ${test}`)
  return unexcused.length > 0 ? 1 : unsound.length > 0 ? 2 : 0
}

/** The first test that fails with the mistake and passes without it. */
async function killerOf(
  root: string,
  { file, start, end, replace }: Generated,
  tests: readonly string[],
  isSound: (test: string) => Promise<boolean>,
): Promise<string | undefined> {
  const path = join(root, file)
  const original = readFileSync(path, 'utf8')
  for (const test of tests) {
    writeFileSync(path, original.slice(0, start) + replace + original.slice(end))
    const passed = await passes(root, test)
    writeFileSync(path, original)
    if (!passed && (await isSound(test))) return test
  }
  return undefined
}

async function passes(root: string, test: string): Promise<boolean> {
  const args = ['--import', 'tsx', '--test', `--test-timeout=${longestTestMs}`, test]
  const options = { cwd: root, stdio: 'ignore', timeout: 2 * longestTestMs } as const
  const [status] = await once(spawn(process.execPath, args, options), 'exit')
  return status === 0
}

function run(root: string, check: Check, seed: string): CheckVerdict {
  const args =
    'part' in check
      ? ['scripts/faults.ts', '--only', check.part, '--share', String(check.share), '--seed', seed]
      : ['--test', '--test-timeout=120000', check.test]
  const options = { cwd: root, timeout: longestMs, encoding: 'utf8' } as const
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', ...args], options)
  if (status === 0) return 'passed'
  return 'part' in check && status === 2 ? 'could not run' : 'failed'
}

/** The source with the mistake in it; undefined when it does not stand there exactly once. */
function mutated(
  root: string,
  { file, find, replace }: Mutant,
): { original: string; text: string } | undefined {
  const original = readFileSync(join(root, file), 'utf8')
  const parts = original.split(find)
  return parts.length === 2 ? { original, text: parts.join(replace) } : undefined
}

function judge(root: string, mutant: Mutant, seed: string): string {
  const patch = mutated(root, mutant)
  if (!patch) return 'DOES NOT FIT the source any more'
  const path = join(root, mutant.file)
  writeFileSync(path, patch.text)
  try {
    let couldRun = false
    for (const check of mutant.caughtBy) {
      const verdict = run(root, check, seed)
      if (verdict === 'failed') return `killed by ${nameOf(check)}`
      couldRun ||= verdict === 'passed'
    }
    return couldRun ? 'SURVIVED' : 'not judged: what would notice it cannot run here'
  } finally {
    writeFileSync(path, patch.original)
  }
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seed: { type: 'string', default: '1' },
    list: { type: 'boolean', default: false },
    'no-baseline': { type: 'boolean', default: false },
    sample: { type: 'boolean', default: false },
    draw: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const only = values.only?.split(',')
const chosen = mutants.filter(({ name }) => !only || only.includes(name))
if (values.help || chosen.length === 0) {
  console.log(help)
  process.exit(values.help ? 0 : 2)
}
const longestName = Math.max(...chosen.map(({ name }) => name.length))
if (values.list) {
  for (const { name, breaks, caughtBy } of chosen)
    console.log(`${name.padEnd(longestName)}  ${breaks}; ${caughtBy.map(nameOf).join(', ')}`)
  process.exit(0)
}

if (values.draw !== undefined) process.exit(await draw(Number(values.draw), values.seed))
if (values.sample) process.exit(await judgeSample())

const root = copyOfTree()

if (!values['no-baseline']) {
  const checks = new Map(chosen.flatMap(({ caughtBy }) => caughtBy).map((check) => [nameOf(check), check]))
  for (const [name, check] of checks) {
    if (run(root, check, values.seed) !== 'failed') continue
    console.error(`${name} fails without any mutant`)
    process.exit(2)
  }
}
const verdicts: string[] = []
for (const mutant of chosen) {
  const verdict = judge(root, mutant, values.seed)
  verdicts.push(verdict)
  console.log(`${mutant.name.padEnd(longestName)}  ${verdict}`)
}
const killed = verdicts.filter((verdict) => verdict.startsWith('killed')).length
console.log(`\n${killed} of ${chosen.length} mutants killed, seed ${values.seed}`)
const isBad = verdicts.some((verdict) => verdict === 'SURVIVED' || verdict.startsWith('DOES NOT FIT'))
process.exit(isBad ? 1 : killed < chosen.length ? 2 : 0)
