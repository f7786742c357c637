/**
 * Shows that the suite can fail: makes each mistake of `test/faults/mutants/list.ts` in a copy of the tree and runs what has to
 * notice it. Exit 0 when every mutant was killed, 1 when one survived or does not fit the source any more, 2 when it
 * cannot run.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Check, type Mutant, mutants } from '../test/faults/mutants/list.ts'

const help = `Breaks each invariant on purpose, in a copy of the tree, and shows what notices it.

  npm run test:mutants -- [--only name,name] [--seed N] [--list] [--no-baseline] [--help]

  --only a,b      these mutants (--list names them)
  --seed N        for the fault parts (default 1)
  --no-baseline   does not first show that every check passes without a mutant

Exit: 0 all killed, 1 one survived or does not fit the source any more, 2 cannot run.`

const tree = fileURLToPath(new URL('..', import.meta.url))
const copied = ['src', 'contracts', 'test', 'scripts', 'package.json', 'tsconfig.json']
/** Longer than any check; a mutant that hangs is killed. */
const longestMs = 300_000

type Verdict = 'passed' | 'failed' | 'could not run'

const nameOf = (check: Check): string => ('part' in check ? `part ${check.part}` : check.test)

function run(root: string, check: Check, seed: string): Verdict {
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

const root = mkdtempSync(join(tmpdir(), 'civic-mutants-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(2))
for (const name of copied) cpSync(join(tree, name), join(root, name), { recursive: true })
symlinkSync(join(tree, 'node_modules'), join(root, 'node_modules'))

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
