/** Finds out which lines of `src/` each test file runs, in its own process and in the processes that it starts, and how long it takes. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Copy } from './copy.ts'
import { type importsOf, testsFor } from './generate.ts'

export type Ran = { readonly ms: number; readonly lines: ReadonlyMap<string, ReadonlySet<number>> }

type Covered = Readonly<
  Record<string, { statementMap: Record<string, { start: { line: number } }>; s: Record<string, number> }>
>

/** This is longer than any test file takes on a busy machine. */
const longestMs = 600_000
const collectedName = 'v8'

/** Undefined for a test file that does not pass, because nothing can be learned from it. */
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
    return passed ? { ms, lines: report(copy.root, directory) } : undefined
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function report(root: string, directory: string): Ran['lines'] {
  const args = ['report', '--temp-directory', join(directory, collectedName), '--reports-dir', directory]
  spawnSync(join(root, 'node_modules/.bin/c8'), [...args, '--reporter', 'json', '--include', 'src/**'], {
    cwd: root,
    stdio: 'ignore',
  })
  return parseReport(root, readFileSync(join(directory, 'coverage-final.json'), 'utf8'))
}

export function parseReport(root: string, text: string): Ran['lines'] {
  const covered = JSON.parse(text) as Covered
  return new Map(
    Object.entries(covered).map(([path, { statementMap, s }]) => {
      const run = Object.entries(s).filter(([, count]) => count > 0)
      const lines = run.map(([id]) => (statementMap[id] as { start: { line: number } }).start.line)
      return [relative(root, path), new Set(lines)]
    }),
  )
}

/** At most so many test files are run to notice a mistake. */
const most = 6
const page = 'src/audit/page/'
const inBrowser = 'test/browser/'

/**
 * The test files that should notice a mistake in a line: first those that run the line, the quickest first. A killed receiver leaves no
 * coverage, and that of a browser cannot be read. So the test files that import the file come after them, and for the page also those in a
 * browser.
 */
export function testsRunning(
  file: string,
  line: number,
  ran: ReadonlyMap<string, Ran>,
  imports: ReturnType<typeof importsOf>,
): string[] {
  const msOf = (test: string): number => ran.get(test)?.ms ?? 0
  const quick = (a: string, b: string): number => msOf(a) - msOf(b)
  const known = [...ran.keys()]
  const running = known.filter((test) => ran.get(test)?.lines.get(file)?.has(line)).sort(quick)
  const browsing = file.startsWith(page) ? known.filter((test) => test.startsWith(inBrowser)).sort(quick) : []
  const importing = running.length + browsing.length > 0 ? [] : testsFor(file, imports, most)
  return [...running.slice(0, most), ...browsing, ...importing]
}
