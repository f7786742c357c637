/**
 * Mirrors the append-only records of one association from the database into the tree.
 *
 * Invariants
 *   1. Lines in the tree never change. New lines are appended as the file store appends them, with its lock, so a kill leaves the same
 *      state as a kill of a receiver.
 *   2. A line is written only when the next line, or the head, has its SHA-256. A line that somebody altered in the database before it
 *      was mirrored is not written.
 *   3. A tree whose last record the database does not have is left alone. It may have been mirrored from a server that was replaced
 *      since, and then the tree is the evidence of the records of that server.
 */

import { join } from 'node:path'
import { hasCode } from '../error-code.ts'
import type { Log } from '../log.ts'
import { continued } from '../records/batch.ts'
import { type Head, isAt } from '../records/head.ts'
import { headName, recordsName } from '../records/layout.ts'
import type { Line } from '../records/line.ts'
import { parseReceipt } from '../records/line.ts'
import type { Position } from '../records/position.ts'
import { sha256Hex } from '../records/sha256.ts'
import { AssociationFile } from '../storage/files/association-file.ts'
import { removeEmptyDirectories } from '../storage/files/durable-file.ts'
import { removeEmptyFiles } from '../storage/files/empty-files.ts'
import { StorageFault } from '../storage/files/fault.ts'
import { readHead } from '../storage/files/head-file.ts'
import type { Lock } from '../storage/files/lock.ts'
import { associationDirectories } from '../storage/files/paths.ts'
import { lastLine, withSnapshot } from '../storage/files/snapshot-file.ts'
import { Tenure } from '../storage/files/tenure.ts'
import type { Connection } from '../storage/postgres/connection.ts'
import { hashesBehind, linesBehind, type ServerHead } from '../storage/postgres/reading.ts'

/** Longer than the 5 s after which the lock of a killed process is stale. */
const lockMs = 30_000
/** The files of so many associations are remembered, because otherwise each append would read the file from its start. */
const mostKept = 256

export type Brought = {
  readonly records: number
  /** Why the rest was not mirrored, in a sentence without names. */
  readonly complaint?: string
}

type MirrorFiles = {
  readonly file: AssociationFile
  readonly tenure: Tenure
  readonly directories: readonly [string, string]
}

export class RecordsMirror {
  readonly #root: string
  readonly #log: Log
  /** In order of use. */
  readonly #kept = new Map<string, MirrorFiles>()
  /** For each association the head up to which the tree is complete. */
  readonly #done = new Map<string, string>()

  constructor(root: string, log: Log) {
    this.#root = root
    this.#log = log
  }

  async bring(connection: Connection, head: ServerHead): Promise<Brought> {
    const name = `${head.addon}/${head.association_slug}`
    if (this.#done.get(name) === head.sha256) return { records: 0 }
    const directories = associationDirectories(this.#root, head)
    if (!(await hasAll(directories[1], head))) {
      const brought = await this.#append(connection, head, this.#keptOf(name, directories))
      if (brought.complaint !== undefined) return brought
      this.#done.set(name, head.sha256)
      return brought
    }
    this.#done.set(name, head.sha256)
    return { records: 0 }
  }

  #keptOf(name: string, directories: readonly [string, string]): MirrorFiles {
    const found = this.#kept.get(name)
    const file = found?.file ?? new AssociationFile(directories[1], this.#log)
    const kept = found ?? { file, directories, tenure: new Tenure(directories, file, this.#log, undefined) }
    this.#kept.delete(name)
    this.#kept.set(name, kept)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > mostKept && oldest !== undefined) this.#kept.delete(oldest)
    return kept
  }

  async #append(connection: Connection, head: ServerHead, kept: MirrorFiles): Promise<Brought> {
    const { file, tenure, directories } = kept
    try {
      const { lock } = await tenure.acquire(performance.now() + lockMs)
      const brought = await appendBehind(connection, head, file, lock)
      if (brought.complaint === undefined) await file.syncInherited()
      return brought
    } catch (error) {
      if (!(error instanceof StorageFault) || error.fault === 'full') throw error
      return { records: 0, complaint: complaintOf(error) }
    } finally {
      if (file.position.count === 0 && tenure.held?.lock.held()) removeEmptyFiles(directories[1])
      await tenure.end()
      await file.close()
      if (file.position.count === 0) removeEmptyDirectories(directories)
    }
  }
}

function complaintOf({ fault, message }: StorageFault): string {
  if (fault === 'damaged') return `the tree is not as it was left (${message}); it is left alone`
  if (fault === 'busy') return 'another process has the lock in the tree'
  return 'the disk of the tree reported an error'
}

/** Whether this head is the last record in the tree, and the head file agrees. */
async function hasAll(directory: string, { count, sha256 }: ServerHead): Promise<boolean> {
  try {
    const head: Head | undefined = await readHead(join(directory, headName))
    return await withSnapshot(join(directory, recordsName), async (snapshot) => {
      const last = snapshot.closed ? await lastLine(snapshot) : undefined
      if (!last || parseReceipt(last)?.sequence !== count || sha256Hex(last) !== sha256) return false
      return head !== undefined && isAt(head, { count, end: snapshot.end, sha256 })
    })
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

async function appendBehind(
  connection: Connection,
  head: ServerHead,
  file: AssociationFile,
  lock: Lock,
): Promise<Brought> {
  const different = await whyNotContinued(connection, head, file.position)
  if (different !== undefined) return { records: 0, complaint: different }
  let records = 0
  while (file.position.count < head.count) {
    const { position } = file
    const lines = await linesBehind(connection, head, position.count, head.count)
    const good = vouchedFor(position, lines, head)
    if (good.length === 0) {
      const complaint = `record ${position.count + 1} or the one behind it is not in the database as it was stored`
      return { records, complaint }
    }
    const written = await file.append((from, isEmpty) => continued(from, isEmpty, good), lock.held)
    if (!written) return { records, complaint: 'another process changed the tree meanwhile' }
    records += written.length
  }
  return { records }
}

async function whyNotContinued(
  connection: Connection,
  head: ServerHead,
  { count, sha256 }: Position,
): Promise<string | undefined> {
  if (count === 0) return undefined
  // the database may have more records than the head says, because some may have been stored since the head was read
  const [there] = await hashesBehind(connection, head, count - 1, count)
  if (there?.sha256 === sha256) return undefined
  return there
    ? `record ${count}, the last one of the tree, is another one in the database; the tree is left alone`
    : `the tree has ${count} records, and the database does not have the last one; the tree is left alone`
}

/** The lines that continue the chain and whose hash is in the next line or in the head. */
function vouchedFor(
  from: Position,
  lines: readonly Omit<Line, 'offset'>[],
  head: ServerHead,
): readonly Omit<Line, 'offset'>[] {
  let [count, sha256, good] = [from.count, from.sha256, 0]
  for (const [at, line] of lines.entries()) {
    if (line.receipt.sequence !== count + 1 || line.receipt.previous_sha256 !== sha256) break
    // this line has the hash of the line before
    good = at
    count++
    sha256 = line.sha256
    if (count === head.count && sha256 === head.sha256) good = at + 1
  }
  return lines.slice(0, good)
}
