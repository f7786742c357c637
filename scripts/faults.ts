/**
 * `npm run test:faults` runs every part of the fault tests against the real storage modules or the real receiver, on a real file system. It prints
 * one table. Exit: 0 nothing was lost, doubled, unreadable or wrong; 1 a violation; 2 it cannot run.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { part as crashStates } from '../test/faults/crash-states.ts'
import { part as damage } from '../test/faults/damage.ts'
import { part as database } from '../test/faults/database.ts'
import { part as errors } from '../test/faults/errors.ts'
import { part as fullDisk } from '../test/faults/full-disk.ts'
import { part as input } from '../test/faults/input.ts'
import { part as kill } from '../test/faults/kill.ts'
import { part as locks } from '../test/faults/locks.ts'
import { part as model } from '../test/faults/model.ts'
import { inParallel, type Part, type Row } from '../test/faults/part.ts'
import { part as powerCut } from '../test/faults/power-cut.ts'
import { part as strangers } from '../test/faults/strangers.ts'

/** The longest comes first, so that with --at-once none is left alone at the end. */
const parts: readonly Part[] = [
  database,
  errors,
  locks,
  fullDisk,
  kill,
  crashStates,
  strangers,
  input,
  model,
  damage,
  powerCut,
]

const help = `Proves that nothing is lost under faults, and prints a table.

  npm run test:faults -- [--seed N] [--share 0..1] [--seconds N] [--only part,part] [--at-once N] [--json] [--help]

  --seed N       decides every random choice; printed, so that a run can be repeated (default: a new one)
  --share S      part of the full counts, 1 for all of them (default 1); a slice is --share 0.02
  --seconds N    no part begins a new case after its share of this time (default: only the counts decide)
  --only a,b     these parts: ${parts.map(({ name }) => name).join(', ')}
  --at-once N    so many parts at once, for a slice, in which each part mostly waits (default 1)
  --scratch DIR  where data directories are made, on the file system to be tested (default: below ${tmpdir()})
  --json         the result as JSON instead of a table

Exit: 0 clean, 1 violations, 2 cannot run.`

type Settings = {
  readonly seed: number
  readonly share: number
  readonly seconds: number
  readonly chosen: readonly Part[]
  readonly atOnce: number
  readonly scratch: string
  readonly json: boolean
}

type Result = {
  readonly part: string
  readonly seconds: number
  readonly rows: readonly Row[]
  /** Why the part did not run on this machine. */
  readonly skipped?: string
  /** The error with which the part ended. */
  readonly failed?: string
}

function settingsOrExit(): Settings {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string' },
        share: { type: 'string', default: '1' },
        seconds: { type: 'string', default: 'Infinity' },
        only: { type: 'string' },
        'at-once': { type: 'string', default: '1' },
        scratch: { type: 'string', default: tmpdir() },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      console.log(help)
      process.exit(0)
    }
    const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
    const [share, seconds] = [Number(values.share), Number(values.seconds)]
    const atOnce = Number(values['at-once'])
    if (!Number.isSafeInteger(seed) || seed < 0) throw new Error('--seed must be a whole number')
    if (!(share > 0 && share <= 1)) throw new Error('--share must be above 0 and at most 1')
    if (!(seconds > 0)) throw new Error('--seconds must be above 0')
    if (!Number.isSafeInteger(atOnce) || atOnce < 1)
      throw new Error('--at-once must be a whole number above 0')
    return {
      seed,
      share,
      seconds,
      chosen: choose(values.only),
      atOnce,
      scratch: values.scratch,
      json: values.json,
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`)
    process.exit(2)
  }
}

function choose(only: string | undefined): readonly Part[] {
  if (only === undefined) return parts
  return only.split(',').map((name) => {
    const part = parts.find((known) => known.name === name)
    if (!part) throw new Error(`there is no part "${name}"`)
    return part
  })
}

const isBad = (row: Row): boolean => row.lost + row.duplicated + row.unreadable + row.wrong > 0

function progressOf(part: string): (done: number, total: number) => void {
  if (!process.stderr.isTTY) return () => {}
  let shown = 0
  return (done, total) => {
    const now = performance.now()
    if (now - shown < 100 && done < total) return
    shown = now
    process.stderr.write(`\r\x1b[K${part}: ${done.toLocaleString('en')} of ${total.toLocaleString('en')}`)
  }
}

async function runPart(
  part: Part,
  { seed, share }: Settings,
  until: number,
  scratch: string,
): Promise<Result> {
  const started = performance.now()
  const seconds = (): number => Math.round((performance.now() - started) / 100) / 10
  const skipped = await part.missing()
  if (skipped !== undefined) return { part: part.name, seconds: 0, rows: [], skipped }
  mkdirSync(scratch)
  const progress = progressOf(part.name)
  progress(0, 1)
  try {
    const rows = await part.run({ seed, share, until, scratch, progress })
    return { part: part.name, seconds: seconds(), rows }
  } catch (error) {
    return { part: part.name, seconds: seconds(), rows: [], failed: (error as Error).stack ?? String(error) }
  } finally {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    remove(scratch)
  }
}

const apart = new Set<ChildProcess>()
let isEnding = false

/** Ends this run by a signal, and the parts in processes of their own before it, because each has to tidy up. */
function endBy(signal: string): void {
  console.error(`ended by ${signal}`)
  isEnding = true
  let left = apart.size
  if (left === 0) process.exit(2)
  for (const child of apart) {
    child.once('close', () => {
      if (--left === 0) process.exit(2)
    })
    child.kill('SIGTERM')
  }
}

/** Runs a part in a process of its own, so that no part has to wait for the computations of another. */
async function runApart({ name }: Part, settings: Settings, until: number): Promise<Result> {
  const { seed, share, scratch } = settings
  const values = {
    only: name,
    seed,
    share,
    scratch,
    seconds: Math.max(0.001, (until - performance.now()) / 1_000),
  }
  const options = Object.entries(values).map(([option, value]) => `--${option}=${value}`)
  const args = ['--import', 'tsx', fileURLToPath(import.meta.url), ...options, '--json']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  apart.add(child)
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  const [code, signal] = await once(child, 'close')
  apart.delete(child)
  try {
    return (JSON.parse(said) as { parts: [Result] }).parts[0]
  } catch {
    return { part: name, seconds: 0, rows: [], failed: `its process ended (${code ?? signal}): ${said}` }
  }
}

function remove(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true })
  } catch (error) {
    // A part that failed may have left a mount.
    console.error(`${directory} could not be removed (${(error as NodeJS.ErrnoException).code})`)
  }
}

const columns = ['part', 'fault', 'rule', 'cases', 'lost', 'duplicated', 'unreadable', 'wrong'] as const

function table(results: readonly Result[]): string {
  const cells = results.flatMap(({ part, rows, skipped, failed }) => {
    if (skipped !== undefined) return [[part, `skipped: ${skipped}`]]
    if (failed !== undefined) return [[part, `could not run: ${failed}`]]
    return rows.map((row) => [
      part,
      ...columns.slice(1).map((name) => String(row[name as Exclude<typeof name, 'part'>])),
    ])
  })
  const widths = columns.map((name, at) =>
    Math.max(name.length, ...cells.filter((row) => row.length > 2).map((row) => row[at]?.length ?? 0)),
  )
  const isNumber = (at: number): boolean => at >= 3
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (isNumber(at) ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd()
  const notes = results.flatMap(({ part, rows }) =>
    rows.flatMap((row) => row.notes.map((note) => `  ${part}, ${row.fault}: ${note}`)),
  )
  return [line(columns), ...cells.map(line), ...(notes.length > 0 ? ['', 'Notes', ...notes] : [])].join('\n')
}

const settings = settingsOrExit()
const scratch = mkdtempSync(join(settings.scratch, 'civic-faults-'))
// The listener of test/faults/mounts.ts, which is registered earlier, has removed the mounts by then.
process.once('exit', () => remove(scratch))
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // The listener of mounts.ts would end this process before the others have tidied up.
  process.removeAllListeners(signal)
  process.once(signal, () => endBy(signal))
}
const started = performance.now()
const results: Result[] = []
const { chosen, atOnce } = settings
await inParallel(chosen, atOnce, async (part, index) => {
  if (isEnding) return
  // Time that an earlier part did not use goes to the parts after it.
  const left = settings.seconds * 1_000 - (performance.now() - started)
  const until = performance.now() + left / Math.ceil((chosen.length - index) / atOnce)
  const isAlone = atOnce === 1 || chosen.length === 1
  results[index] = isAlone
    ? await runPart(part, settings, until, join(scratch, part.name))
    : await runApart(part, settings, until)
})

const rows = results.flatMap((result) => result.rows)
const seconds = Math.round((performance.now() - started) / 1_000)
const isClean = !rows.some(isBad)
if (settings.json) {
  const { seed, share } = settings
  console.log(JSON.stringify({ seed, share, seconds, clean: isClean, parts: results }, null, 2))
} else {
  const cases = rows.reduce((sum, row) => sum + row.cases, 0).toLocaleString('en')
  console.log(table(results))
  console.log(`\n${cases} cases in ${seconds} s, seed ${settings.seed}, share ${settings.share}`)
}
const didRun = results.every(({ failed }) => failed === undefined) && rows.length > 0
// Exit at once, so that a handle that a part left open does not delay the result.
process.exit(isClean ? (didRun ? 0 : 2) : 1)
