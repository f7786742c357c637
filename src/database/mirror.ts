/**
 * `mirror`: the tree that the file store would have written, from the database: bytes, names, modes and head files. The audit
 * tool, the page, the recipes and the backup run on it.
 *
 * By polling and in pages; it can be killed at any moment and begins again where the tree ends. It takes no part in storing: a
 * receipt does not wait for it.
 *
 * Not in a database, and so not in the tree: what recoveries cut off, `.paused`, locks, the token of a development receiver.
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
  /** A sentence for each association that could not be brought, and its name. */
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

  /** Brings what is new. */
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

/** Associations of which the tree has records with history. */
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
