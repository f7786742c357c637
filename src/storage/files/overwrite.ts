/**
 * Overwrite by Placekey: one file per participant of an association, which holds the last envelope received, whole.
 *
 * Invariants
 *   1. At any instant the file is one whole envelope: the old one or the new one.
 *   2. A receipt leaves only when the bytes, the file's name and every new directory entry are on disk.
 *   3. Of two envelopes for one Placekey that this process receives, the one that came last is the one that stays.
 *   4. No trace of earlier states is left.
 *
 * System calls: open the directory · open temporary · write · fsync · close · rename · fsync of the directory · close it.
 * Killed before the rename, the old file stands and a temporary is left, which the next start removes.
 *
 * Four of the calls may wait for the disk and go to the thread pool; several renames share the fsync of their directory.
 * (write-file-atomic takes thirteen turns of the pool for the same work, and has to be guarded against short writes.)
 */
import { closeSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AcceptedRecord, Outcome } from '../../../contracts/record.ts'
import type { Log } from '../../log.ts'
import { latestText } from '../../records/latest.ts'
import { fileMode, type RecordPath } from '../../records/layout.ts'
import { longestRecord } from '../../records/lines.ts'
import type { StorageObserver } from '../observer.ts'
import {
  changeNames,
  inDirectories,
  openFile,
  removeEmptyDirectories,
  removeIfThere,
  renameFile,
  syncFile,
  writeAllSync,
} from './durable-file.ts'
import { codeOf, faultOf, StorageFault, troubleOf } from './fault.ts'
import { associationDirectories, placekeyFile, temporaryIn } from './paths.ts'

export class OverwriteRule {
  readonly #root: string
  readonly #logOf: (of: RecordPath) => Log
  readonly #observer: StorageObserver | undefined
  /** For each file that is being written, the end of the last write in line. */
  readonly #lines = new Map<string, Promise<unknown>>()

  constructor(root: string, logOf: (of: RecordPath) => Log, observer?: StorageObserver) {
    this.#root = root
    this.#logOf = logOf
    this.#observer = observer
  }

  put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const path = placekeyFile(this.#root, record)
    const before = this.#lines.get(path) ?? Promise.resolve()
    const here = before.then(() => this.#store(record, path, deadline))
    this.#lines.set(path, here)
    return here.finally(() => {
      if (this.#lines.get(path) === here) this.#lines.delete(path)
    })
  }

  /** Resolves when nothing is being written. */
  async drain(): Promise<void> {
    while (this.#lines.size > 0) await Promise.all(this.#lines.values())
  }

  async #store(record: AcceptedRecord, path: string, deadline: number): Promise<Outcome> {
    const directories = associationDirectories(this.#root, record)
    let isReplaced = false
    try {
      if (performance.now() > deadline) throw new StorageFault('busy', 'its turn did not come in time')
      const receivedAt = new Date().toISOString()
      const bytes = Buffer.from(latestText(record, receivedAt))
      if (bytes.length > longestRecord) return { ok: false, fault: 'long' }
      let existed = false
      const began = performance.now()
      await inDirectories(directories, () =>
        changeNames(directories[1], async () => {
          existed = statSync(path, { throwIfNoEntry: false }) !== undefined
          await replace(path, bytes)
          isReplaced = true
        }),
      )
      this.#observer?.synced('overwrite', performance.now() - began)
      return { ok: true, receipt: { outcome: existed ? 'replaced' : 'created', received_at: receivedAt } }
    } catch (error) {
      // after the rename the answer cannot be `full`, which says that nothing was changed
      const fault = isReplaced ? 'io' : faultOf(error)
      if (!isReplaced) removeEmptyDirectories(directories)
      const trouble = troubleOf(fault)
      if (trouble) this.#logOf(record).error({ code: codeOf(error) }, trouble)
      return { ok: false, fault }
    }
  }
}

/** Replaces the file of one participant. A reader sees the old file or the new one. The new file is on disk when this resolves. */
export async function writeLatest(
  root: string,
  of: RecordPath & { readonly participant_id: string },
  bytes: Uint8Array,
): Promise<void> {
  const directories = associationDirectories(root, of)
  await inDirectories(directories, () =>
    changeNames(directories[1], () => replace(placekeyFile(root, of), bytes)),
  )
}

/** A failure before the rename leaves the old file as it was, and no temporary. */
async function replace(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = temporaryIn(dirname(path))
  const fd = await openFile(temporary, 'wx', fileMode)
  try {
    try {
      writeAllSync(fd, bytes, 0)
      await syncFile(fd)
    } finally {
      closeSync(fd)
    }
    await renameFile(temporary, path)
  } catch (error) {
    removeIfThere(temporary)
    throw error
  }
}
