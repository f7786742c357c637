/** What a long run has found so far, in a file of JSON lines, so that a run that was broken off is continued and not begun again. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'

export class Kept<T> {
  readonly #path: string | undefined
  readonly found: ReadonlyMap<string, T>
  readonly #found = new Map<string, T>()

  /** Without a path nothing is written. */
  constructor(path?: string) {
    this.#path = path
    this.found = this.#found
    if (!path) return
    mkdirSync(dirname(path), { recursive: true })
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    for (const line of text.split('\n').filter(Boolean)) this.#found.set(...(JSON.parse(line) as [string, T]))
  }

  /** What was found for the key before, or what `find` finds now. */
  async of(key: string, find: () => Promise<T>): Promise<T> {
    const before = this.#found.get(key)
    if (before !== undefined) return before
    const now = await find()
    this.#found.set(key, now)
    if (this.#path) appendFileSync(this.#path, `${JSON.stringify([key, now])}\n`)
    return now
  }
}
