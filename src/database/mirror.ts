/**
 * `mirror` writes from the database the same tree of files that the file store would have written: bytes, names, modes and head
 * files. The audit tool, the page, the recipes and the backup run on this tree.
 *
 * It asks the database again and again, a page of records at a time. It can be killed at any moment and goes on where the tree
 * ends. No receipt waits for it.
 *
 * Torn ends, `.paused`, locks and the token of a development receiver are not in a database, and so not in the tree.
 */

import { statSync } from 'node:fs'
import { join } from 'node:path'
import { contracts } from '../../contracts/index.ts'
import type { Io } from '../cli/io.ts'
import type { Log } from '../log.ts'
import { recordsName } from '../records/layout.ts'
import { namesIn } from '../storage/files/names.ts'
import { isSafeName } from '../storage/files/paths.ts'
import type { Connection } from '../storage/postgres/connection.ts'
import { heads } from '../storage/postgres/reading.ts'
import { LatestMirror } from './mirror-latest.ts'
import { RecordsMirror } from './mirror-records.ts'

export type Pass = {
  readonly records: number
  readonly files: number
  /** For each association that could not be mirrored: its name and a sentence. */
  readonly complaints: readonly string[]
}

export class Mirror {
  readonly #root: string
  readonly #records: RecordsMirror
  readonly #latest: LatestMirror
  #connection: Connection | undefined

  constructor(root: string, io: Io) {
    this.#root = root
    const say = (_fields: object, message: string): void => io.err(`mirror: ${message}\n`)
    const log: Log = { info() {}, warn: say, error: say, fatal: say }
    this.#records = new RecordsMirror(root, log)
    this.#latest = new LatestMirror(root)
  }

  /** Mirrors the new records. */
  async pass(connection: Connection): Promise<Pass> {
    const complaints: string[] = []
    const there = new Set<string>()
    let records = 0
    for await (const head of heads(connection)) {
      const name = `${head.addon}/${head.association_slug}`
      there.add(name)
      const brought = await this.#records.bring(connection, head)
      records += brought.records
      if (brought.complaint !== undefined) complaints.push(`${name}: ${brought.complaint}`)
    }
    const isNewServer = this.#connection !== connection
    const files = await this.#latest.bring(connection, isNewServer)
    this.#connection = connection
    for (const name of await associationsIn(this.#root)) {
      if (!there.has(name))
        complaints.push(`${name}: the database has no record of this association; the tree is left alone`)
    }
    return { records, files, complaints }
  }
}

/** The associations of which the tree has a records file. */
export async function associationsIn(root: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const [addon, versions] of contracts) {
    if (!versions.some(({ storage }) => storage === 'append-only')) continue
    for (const slug of (await namesIn(join(root, addon))).filter(isSafeName)) {
      const stat = statSync(join(root, addon, slug, recordsName), { throwIfNoEntry: false })
      if (stat && stat.size > 0) found.push(`${addon}/${slug}`)
    }
  }
  return found
}
