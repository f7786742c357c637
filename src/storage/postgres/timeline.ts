/**
 * Remembers in which database system this receiver has stored, and on which timeline. An old primary that comes back after a
 * promotion looks like any other server that accepts writes; only its lower timeline shows that it is old.
 *
 * The place is kept in memory and in a small file in the data directory. The file is on disk before any record that was stored
 * on a new timeline is acknowledged. Without the file, the next start accepts the first server that is fit.
 */

import { readFileSync } from 'node:fs'
import { hasCode } from '../../error-code.ts'
import { writeSmallFile } from '../files/small-file.ts'
import { Broken } from './fault.ts'

type ServerPlace = { readonly system: string; readonly timeline: number }

export class Timeline {
  readonly #path: string
  #place: ServerPlace | undefined
  /** The server with the highest timeline that was seen since the start, also before anything was stored on it. */
  #seen: ServerPlace | undefined
  #writing: Promise<unknown> = Promise.resolve()

  constructor(path: string) {
    this.#path = path
    this.#place = read(path)
  }

  /** Why this server must not be written to, or undefined. */
  refusal({ system, timeline }: ServerPlace): string | undefined {
    if (this.#place && system !== this.#place.system)
      return 'it is another database system than the one that records were stored in'
    for (const known of [this.#place, this.#seen])
      if (known?.system === system && timeline < known.timeline)
        return 'another server was promoted since: this is an old primary'
    return undefined
  }

  /** Notes that this server takes records. From then on a lower timeline of its system is refused. */
  seen({ system, timeline }: ServerPlace): void {
    if (this.#seen?.system !== system || this.#seen.timeline < timeline) this.#seen = { system, timeline }
  }

  /**
   * Notes that records were stored on this server. Resolves when the note is on disk. Throws `Broken` when another server was seen to be
   * promoted meanwhile.
   */
  async stored({ system, timeline }: ServerPlace): Promise<void> {
    if (this.refusal({ system, timeline }) !== undefined) throw new Broken()
    const before = this.#place
    if (before?.system !== system || before.timeline !== timeline) {
      this.#place = { system, timeline }
      this.#writing = writeSmallFile(this.#path, `${JSON.stringify(this.#place)}\n`).catch((error) => {
        this.#place = before
        throw error
      })
    }
    await this.#writing
  }
}

function read(path: string): ServerPlace | undefined {
  try {
    const { system, timeline } = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof system === 'string' && Number.isSafeInteger(timeline)) return { system, timeline }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Error(
    `${path} cannot be understood: restore it, or remove it after a look at which server is the primary`,
  )
}
