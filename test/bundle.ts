/**
 * Programs in one file each, as a release has them, for tests that start them: the receiver starts in a third of the time that the
 * sources take. A file is made once for each state of the sources, and kept for other test files and other runs.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const project = fileURLToPath(new URL('../', import.meta.url))
const kept = join(project, 'node_modules/.cache/civic-orchestrator')
const keptMs = 3_600_000

/** What starts the program with this entry file. From the sources when coverage is measured, because it is counted by source file. */
export async function commandOf(entry: string): Promise<readonly [program: string, ...args: string[]]> {
  return process.env.NODE_V8_COVERAGE
    ? [process.execPath, '--import', 'tsx', entry]
    : [process.execPath, await fileOf(entry)]
}

async function fileOf(entry: string): Promise<string> {
  const file = join(kept, `${basename(entry, '.ts')}-${stateOfSources(entry)}.cjs`)
  if (existsSync(file)) return file
  mkdirSync(kept, { recursive: true })
  removeOld()
  const made = `${file}.${process.pid}`
  await build({
    entryPoints: [join(project, entry)],
    outfile: made,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // the library's other half, in native code, which is asked for only by who names it
    external: ['pg-native'],
    logLevel: 'warning',
  })
  renameSync(made, file)
  return file
}

function stateOfSources(entry: string): string {
  const hash = createHash('sha256')
  for (const path of ['package-lock.json', entry, ...filesBelow('contracts'), ...filesBelow('src')])
    hash.update(`${path}\n`).update(readFileSync(join(project, path)))
  return hash.digest('hex').slice(0, 16)
}

function filesBelow(directory: string): string[] {
  const paths = readdirSync(join(project, directory), { recursive: true }) as string[]
  return paths
    .filter((path) => path.endsWith('.ts'))
    .map((path) => `${directory}/${path}`)
    .sort()
}

/** Files of other states of the sources. A program that was started from one has read it long ago. */
function removeOld(): void {
  for (const name of readdirSync(kept)) {
    const path = join(kept, name)
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() }
    if (Date.now() - mtimeMs > keptMs) rmSync(path, { force: true })
  }
}

export const receiverCommand = await commandOf('src/main.ts')
