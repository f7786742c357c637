/** A copy of the tree in which a mistake is made and taken back, and in which test files are run one at a time. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Generated } from './generate.ts'

export const tree = fileURLToPath(new URL('../../..', import.meta.url))
const left = new Set(['node_modules', '.git', 'dist', 'coverage'])

/** Removes a directory, unless something holds it: a browser that outlives its test, or a file system that a killed test has mounted. */
function remove(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  } catch (error) {
    console.error(`${directory} is left: ${(error as Error).message}`)
  }
}

type Outcome = 'passed' | 'failed' | 'late'

export class Copy {
  readonly #place = mkdtempSync(join(tmpdir(), 'civic-m-'))
  readonly root = join(this.#place, 'tree')

  constructor() {
    process.on('exit', () => remove(this.#place))
    const filter = (path: string): boolean => !left.has(path.slice(tree.length))
    cpSync(tree, this.root, { recursive: true, filter })
    // Tests that pack a release ask git for its commit.
    for (const name of ['node_modules', '.git']) symlinkSync(join(tree, name), join(this.root, name))
    // some tests run a receiver as a user without rights, who has to read it
    for (const path of [this.#place, this.root]) chmodSync(path, 0o755)
  }

  /** Runs `body` while the mistake is in the copy. */
  async with<T>({ file, start, end, replace }: Generated, body: () => Promise<T>): Promise<T> {
    const path = join(this.root, file)
    const original = readFileSync(path, 'utf8')
    writeFileSync(path, original.slice(0, start) + replace + original.slice(end))
    try {
      return await body()
    } finally {
      writeFileSync(path, original)
    }
  }

  async passes(test: string, limitMs: number, env?: NodeJS.ProcessEnv): Promise<boolean> {
    return (await this.run(test, limitMs, env)) === 'passed'
  }

  /** Runs a test file. All processes that it has started are ended with it, also when it does not end within the limit. */
  async run(test: string, limitMs: number, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    const temporary = mkdtempSync(join(this.#place, 't-'))
    chmodSync(temporary, 0o1777)
    const child = spawn(process.execPath, ['--import', 'tsx', '--test', test], {
      cwd: this.root,
      stdio: 'ignore',
      // The test has a process group of its own, so that it can be ended with all processes that it has started.
      detached: true,
      env: { ...process.env, TMPDIR: temporary, ...env },
    })
    const end = (): void => {
      try {
        process.kill(-(child.pid as number), 'SIGKILL')
      } catch {
        // No process of the group is left.
      }
    }
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      end()
    }, limitMs)
    const [status] = await once(child, 'exit')
    clearTimeout(timer)
    end()
    remove(temporary)
    return isLate ? 'late' : status === 0 ? 'passed' : 'failed'
  }
}
