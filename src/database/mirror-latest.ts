/**
 * Mirrors the records without history: the last record of each participant, as the file store writes it. The first pass
 * compares all records by SHA-256; later passes ask only for the records that were written since.
 */

import { hasCode } from '../error-code.ts'
import { longestLine } from '../records/lines.ts'
import { sha256Hex } from '../records/sha256.ts'
import { writeLatest } from '../storage/files/overwrite.ts'
import { placekeyFile } from '../storage/files/paths.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import type { Connection } from '../storage/postgres/connection.ts'
import {
  bodiesOf,
  horizon,
  type LatestName,
  latestSince,
  type ServerLatest,
} from '../storage/postgres/reading.ts'

const groupFiles = 64
const groupBytes = 4 * 1024 * 1024

export class LatestMirror {
  readonly #root: string
  #since = '0'

  constructor(root: string) {
    this.#root = root
  }

  /**
   * Gives how many files were written. `isNewServer`: the server may be another one than before, so all records are compared
   * again.
   */
  async bring(connection: Connection, isNewServer: boolean): Promise<number> {
    if (isNewServer) this.#since = '0'
    const next = await horizon(connection)
    let written = 0
    for await (const page of latestSince(connection, this.#since)) {
      const different = page.filter((latest) => sha256OnDisk(this.#root, latest) !== latest.sha256)
      for (const group of groupsOf(different)) {
        const bodies = await bodiesOf(connection, group)
        await Promise.all(bodies.map((each) => writeLatest(this.#root, each, each.body)))
        written += bodies.length
      }
    }
    this.#since = next
    return written
  }
}

/** The file of a participant; undefined when there is none. */
export function latestOnDisk(root: string, of: LatestName): Buffer | undefined {
  try {
    return readRegularSync(placekeyFile(root, of), longestLine)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function sha256OnDisk(root: string, of: LatestName): string | undefined {
  const bytes = latestOnDisk(root, of)
  return bytes && sha256Hex(bytes)
}

function* groupsOf(all: readonly ServerLatest[]): Generator<readonly ServerLatest[]> {
  let group: ServerLatest[] = []
  let bytes = 0
  for (const latest of all) {
    if (group.length === groupFiles || (group.length > 0 && bytes + latest.bytes > groupBytes)) {
      yield group
      group = []
      bytes = 0
    }
    group.push(latest)
    bytes += latest.bytes
  }
  if (group.length > 0) yield group
}
