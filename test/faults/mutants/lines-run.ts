/** Finds out which lines of `src/` each test file runs, in its own process and in the processes that it starts, and how long it takes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import type { Copy } from './copy.ts'
import { type importsOf, testsFor } from './generate.ts'

/** `lines` are the numbers of the lines that were run, for each file. */
export type Ran = { readonly ms: number; readonly lines: Readonly<Record<string, readonly number[]>> }

type Covered = Readonly<
  Record<string, { statementMap: Record<string, { start: { line: number } }>; s: Record<string, number> }>
>

/** A test file that takes longer, with its coverage and beside another one, is too slow to be run for single mistakes. */
export const longestMs = 90_000
const collectedName = 'v8'

/** Undefined for a test file that does not pass in time. */
export async function linesRun(copy: Copy, test: string): Promise<Ran | undefined> {
  const directory = mkdtempSync(join(tmpdir(), 'civic-lines-'))
  const collected = join(directory, collectedName)
  mkdirSync(collected)
  // A receiver may run as another user, who must be able to write here.
  for (const [path, mode] of [
    [directory, 0o755],
    [collected, 0o777],
  ] as const)
    chmodSync(path, mode)
  try {
    const began = performance.now()
    const passed = await copy.passes(test, longestMs, { NODE_V8_COVERAGE: collected })
    const ms = performance.now() - began
    return passed ? { ms, lines: await report(copy.root, directory) } : undefined
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function report(root: string, directory: string): Promise<Ran['lines']> {
  const args = ['report', '--temp-directory', join(directory, collectedName), '--reports-dir', directory]
  const all = [...args, '--reporter', 'json', '--include', 'src/**']
  await once(spawn(join(root, 'node_modules/.bin/c8'), all, { cwd: root, stdio: 'ignore' }), 'exit')
  return parseReport(root, readFileSync(join(directory, 'coverage-final.json'), 'utf8'))
}

function parseReport(root: string, text: string): Ran['lines'] {
  const covered = JSON.parse(text) as Covered
  return Object.fromEntries(
    Object.entries(covered).map(([path, { statementMap, s }]) => {
      const run = Object.entries(s).filter(([, count]) => count > 0)
      return [
        relative(root, path),
        run.map(([id]) => (statementMap[id] as { start: { line: number } }).start.line),
      ]
    }),
  )
}

/** So many test files are run to notice a mistake, however long they take; after them only those that fit into the budget, and never more than most. */
const least = 3
const most = 10
const budgetMs = 80_000
/** A test that takes longer is run only where no quicker one runs the line. */
const slowMs = 36_000
/** A test that runs this share of the lines that the best one runs in a file is there to test that file. */
const near = 0.8
const page = 'src/audit/page/'
/** Page files are tested by these, in this order: the bundle of the engine without a browser, and the page in a browser. */
const ofBundles = [
  'audit-page-engine',
  'browser/page',
  'browser/paper',
  'browser/walk',
  'browser/hostile',
].map((name) => `test/${name}.test.ts`)

/**
 * The test files that should notice a mistake in a line: first the one with the name of the file, then those that run most of the file, of these
 * first the ones that are named after one of its directories, and the quickest first. The one that runs most of the file is always among them.
 * A killed receiver leaves no coverage, and that of a bundle cannot be read. So where no test runs the line, those that import the file are taken,
 * and for the page also those of its bundles.
 */
export function testsRunning(
  file: string,
  line: number,
  ran: ReadonlyMap<string, Ran>,
  imports: ReturnType<typeof importsOf>,
): string[] {
  const msOf = (test: string): number => ran.get(test)?.ms ?? 0
  const linesOf = (test: string): readonly number[] => ran.get(test)?.lines[file] ?? []
  const known = [...ran.keys()].sort((a, b) => msOf(a) - msOf(b))
  const enough = near * Math.max(...known.map((test) => linesOf(test).length))
  const isNamed = (test: string): boolean => basename(test, '.test.ts') === basename(file).split('.')[0]
  const rooms = dirname(file).split('/')
  const isOfRoom = (test: string): boolean => rooms.some((room) => basename(test).startsWith(`${room}-`))
  const rank = (test: string): number =>
    isNamed(test) ? 0 : linesOf(test).length < enough ? 3 : isOfRoom(test) ? 1 : 2
  const running = known.filter((test) => linesOf(test).includes(line)).sort((a, b) => rank(a) - rank(b))
  const quick = running.filter((test) => msOf(test) <= slowMs)
  const fullest = [...quick].sort((a, b) => linesOf(b).length - linesOf(a).length).slice(0, 1)
  const seen =
    quick.length > 0 ? [...new Set([...withinBudget(quick, msOf), ...fullest])] : running.slice(0, 1)
  if (file.startsWith(page)) {
    const named = known.filter((test) => test.startsWith('test/browser/') && isNamed(test))
    return [...new Set([...seen, ...named, ...ofBundles])]
  }
  return seen.length > 0 ? seen : testsFor(file, imports, least)
}

function withinBudget(tests: readonly string[], msOf: (test: string) => number): string[] {
  let sum = 0
  return tests
    .filter((test, at) => {
      sum += msOf(test)
      return at < least || sum <= budgetMs
    })
    .slice(0, most)
}
