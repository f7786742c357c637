/**
 * The receiver in one file, as a release has it, for tests that start it: it starts in a third of the time that the sources take.
 * The file is made once for each state of the sources, and kept for other test files and other runs.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const project = fileURLToPath(new URL('../', import.meta.url))
const kept = join(project, 'node_modules/.cache/civic-orchestrator')
const keptMs = 3_600_000

async function receiverFile(): Promise<string> {
  const file = join(kept, `receiver-${stateOfSources()}.cjs`)
  if (existsSync(file)) return file
  mkdirSync(kept, { recursive: true })
  removeOld()
  const made = `${file}.${process.pid}`
  await build({
    entryPoints: [join(project, 'src/main.ts')],
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

function stateOfSources(): string {
  const hash = createHash('sha256')
  for (const path of ['package-lock.json', ...filesBelow('contracts'), ...filesBelow('src')])
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

/** Files of other states of the sources. A receiver that was started from one has read it long ago. */
function removeOld(): void {
  for (const name of readdirSync(kept)) {
    const path = join(kept, name)
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() }
    if (Date.now() - mtimeMs > keptMs) rmSync(path, { force: true })
  }
}

/** What starts the receiver. From the sources when coverage is measured, because it is counted by source file. */
export const receiverCommand: readonly [string, ...string[]] = process.env.NODE_V8_COVERAGE
  ? [process.execPath, '--import', 'tsx', 'src/main.ts']
  : [process.execPath, await receiverFile()]
