/** Collects the paths and lines that a command could not read. They are printed at the end, and the exit status is then 1. */
import type { Exit, Io } from '../cli/io.ts'
import { plain } from '../cli/plain.ts'
import { counted } from '../cli/print.ts'

const mostNamed = 20

export class Trouble {
  readonly #paths: string[] = []
  #more = 0
  readonly #lines = new Map<string, number>()

  /** Reports a path below the data directory that could not be read, and why. */
  path(path: string, why: string): void {
    if (this.#paths.length < mostNamed) this.#paths.push(`${path} ${why}`)
    else this.#more++
  }

  /** Counts a line of a records file that is no record. */
  line(place: string): void {
    this.#lines.set(place, (this.#lines.get(place) ?? 0) + 1)
  }

  get any(): boolean {
    return this.#paths.length > 0 || this.#lines.size > 0
  }

  end(io: Io): Exit {
    for (const path of this.#paths) io.err(`audit: ${plain(path)}\n`)
    if (this.#more > 0) io.err(`audit: and ${counted(this.#more, 'more path')}\n`)
    for (const [place, count] of this.#lines)
      io.err(`audit: ${plain(place)}: ${counted(count, 'line')} could not be read as a record\n`)
    if (this.any) io.err('audit: run verify, which tells what is wrong there\n')
    return this.any ? 1 : 0
  }
}
