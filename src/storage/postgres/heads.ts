/**
 * The heads that this process remembers, of the associations that it wrote to last. They are guesses: another receiver may have
 * written since. While other receivers were seen to write, heads are read each time, because a wrong guess costs a statement that
 * fails and a line in the log of the server.
 */
import type { TableHead } from './statements.ts'

const most = 10_000
const distrustMs = 10_000

export class Heads {
  /** In order of use: the head that was set last stands at the end. */
  readonly #heads = new Map<string, TableHead>()
  #distrustedUntil = Number.NEGATIVE_INFINITY

  /** The heads of all these associations, or undefined when one of them has to be read. */
  all(names: readonly string[]): ReadonlyMap<string, TableHead> | undefined {
    if (performance.now() < this.#distrustedUntil) return undefined
    const found = new Map<string, TableHead>()
    for (const name of names) {
      const head = this.#heads.get(name)
      if (!head) return undefined
      found.set(name, head)
    }
    return found
  }

  set(name: string, head: TableHead): void {
    this.#heads.delete(name)
    this.#heads.set(name, head)
    if (this.#heads.size > most) this.#heads.delete(this.#heads.keys().next().value as string)
  }

  forget(name: string): void {
    this.#heads.delete(name)
  }

  /** Another receiver was first. */
  distrust(): void {
    this.#distrustedUntil = performance.now() + distrustMs
  }
}
