/**
 * Keeps what takes long to make and what several test files need: bundled programs, the archive of a release, an empty database. Each is made
 * once for each state of what it is made from, and is there for other test files and other runs.
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const project = fileURLToPath(new URL('../', import.meta.url))
const directory = join(project, 'node_modules/.cache/civic-orchestrator')
const keptMs = 3_600_000

/** The path of what `make` made for this state, a file or a directory. `make` is given the path at which to make it. */
export async function kept(
  name: string,
  state: readonly (string | Buffer)[],
  make: (path: string) => Promise<void>,
): Promise<string> {
  const path = join(directory, `${digest(state)}-${name}`)
  if (isThere(path)) return path
  mkdirSync(directory, { recursive: true })
  removeOld()
  const made = `${path}.${process.pid}`
  await make(made)
  try {
    renameSync(made, path)
  } catch (error) {
    // Another test file has made the same directory meanwhile.
    if (!existsSync(path)) throw error
    rmSync(made, { recursive: true })
  }
  return path
}

/** The paths of all TypeScript below these directories of the project, and their contents. */
export function sourcesIn(...rooms: readonly string[]): (string | Buffer)[] {
  const paths = rooms.flatMap((room) => {
    const names = readdirSync(join(project, room), { recursive: true }) as string[]
    return names.filter((name) => name.endsWith('.ts')).map((name) => `${room}/${name}`)
  })
  return paths.sort().flatMap((path) => [path, readFileSync(join(project, path))])
}

function digest(state: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const part of state) hash.update(part).update('\n')
  return hash.digest('hex').slice(0, 16)
}

/** Whether it is there. Its time is set to now, so that no other process removes it before it has been read. */
function isThere(path: string): boolean {
  const now = new Date()
  try {
    utimesSync(path, now, now)
    return true
  } catch {
    return false
  }
}

/** Removes what nobody has asked for in the last hour. */
function removeOld(): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name)
    const { mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() }
    if (Date.now() - mtimeMs > keptMs) rmSync(path, { recursive: true, force: true })
  }
}
