/**
 * Shows that the tests can fail. It makes each mistake of `test/faults/mutants/list.ts` in a copy of the tree and runs the tests that must notice
 * the mistake. Exit: 0 every mistake was noticed; 1 one was not, or does not fit the source any more; 2 the program cannot run. With `--sample`,
 * `--draw` or `--over` it makes mistakes by rule in all of `src/` (`by-rule.ts`) instead of those of the list.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { draw, goOver, judgeSample } from '../test/faults/mutants/by-rule.ts'
import { Copy } from '../test/faults/mutants/copy.ts'
import { type Check, type Mutant, mutants } from '../test/faults/mutants/list.ts'

const help = `Breaks each invariant on purpose, in a copy of the tree, and shows what notices it.

  npm run test:mutants -- [--only name,name] [--seed N] [--list] [--no-baseline] [--help]
  npm run test:mutants -- --sample
  npm run test:mutants -- --over N [--seed N] [--kept DIR]
  npm run test:mutants -- --draw N [--seed N] --kept DIR

  --sample        not those of the list, but the mistakes made by rule that test/faults/mutants/sample.json keeps, each
                  against the test that noticed it (1 minute for 40)
  --over N        goes over all of src/: makes N mistakes in each file, each against the tests that run its line, those
                  made for its file first, and writes the mistakes that nothing noticed into
                  test/faults/mutants/survivors.json; first runs every test once to see which lines it runs
                  (two hours for N = 1)
  --kept DIR      what --over has found so far is kept in this directory, and a second run continues from there
  --draw N        draws the sample anew from what --over has kept: N mistakes that quick tests noticed, in turn from each
                  directory of src/, and some that live with a reason; the same ones for one seed

  --only a,b      these mutants (--list names them)
  --seed N        for the fault parts (default 1)
  --no-baseline   does not first show that every check passes without a mutant

Exit: 0 all killed, 1 one survived or does not fit the source any more, 2 cannot run.`

/** Longer than any check; a mutant that hangs is killed. */
const longestMs = 300_000

type CheckVerdict = 'passed' | 'failed' | 'could not run'

const nameOf = (check: Check): string => ('part' in check ? `part ${check.part}` : check.test)

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
    over: { type: 'string' },
    kept: { type: 'string' },
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

if (values.draw !== undefined) {
  if (values.kept) process.exit(draw(Number(values.draw), values.seed, values.kept))
  console.error('--draw takes the directory that a run with --over has kept: --draw 40 --kept DIR')
  process.exit(2)
}
if (values.over !== undefined) process.exit(await goOver(Number(values.over), values.seed, values.kept))
if (values.sample) process.exit(await judgeSample())

const { root } = new Copy()

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
