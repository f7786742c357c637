/**
 * Overwrite by Placekey: one file per participant of an association, and it is the last envelope received, whole.
 *
 * Invariants
 *   1. At any instant the file is one whole envelope: the old one or the new one.
 *   2. A receipt leaves only when the bytes, the file's name and every new directory entry are on disk.
 *   3. Of two envelopes for one Placekey that this process receives, the one that came last is the one that stays.
 *   4. No trace of earlier states is left.
 *
 * System calls: open temporary · write · fsync · close · rename · fsync of the directory. Killed before the rename, the
 * old file stands and a temporary is left, which `sweep` removes.
 *
 * Four of them may wait for the disk and go to the thread pool; several renames share the fsync of their directory.
 * (write-file-atomic takes thirteen turns of the pool for the same, and has to be guarded against short writes.)
 */
import { randomInt } from 'node:crypto'
import { closeSync, statSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AcceptedRecord, Outcome } from '../../contracts/record.ts'
import type { Log } from '../log.ts'
import {
  fileMode,
  forgetDirectories,
  fsyncDirectory,
  makeDirectories,
  openFile,
  renameFile,
  syncFile,
  writeAllSync,
} from './durable-file.ts'
import { codeOf, faultOf, hasCode, StorageFault } from './fault.ts'
import type { StorageObserver } from './observer.ts'
import { associationDirectories, placekeyFile } from './paths.ts'

/** Temporaries have at most ten digits (`temporaryPattern`). One that is there already fails the write; it is sent again. */
const mostTemporaries = 10 ** 10

export class OverwriteRule {
  readonly #root: string
  readonly #log: Log
  readonly #observer: StorageObserver | undefined
  /** For each file that is being written, the end of the last write in line. */
  readonly #lines = new Map<string, Promise<unknown>>()

  constructor(root: string, log: Log, observer?: StorageObserver) {
    this.#root = root
    this.#log = log
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
  async letGo(): Promise<void> {
    while (this.#lines.size > 0) await Promise.all(this.#lines.values())
  }

  async #store(record: AcceptedRecord, path: string, deadline: number): Promise<Outcome> {
    const directories = associationDirectories(this.#root, record)
    let isReplaced = false
    try {
      if (performance.now() > deadline) throw new StorageFault('busy', 'its turn did not come in time')
      const receivedAt = new Date().toISOString()
      await makeDirectories(directories)
      const existed = statSync(path, { throwIfNoEntry: false }) !== undefined
      const began = performance.now()
      await replace(path, Buffer.from(textOf(record, receivedAt)))
      isReplaced = true
      await fsyncDirectory(dirname(path))
      this.#observer?.synced('overwrite', performance.now() - began)
      return { ok: true, receipt: { outcome: existed ? 'replaced' : 'created', received_at: receivedAt } }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) forgetDirectories(directories)
      // `full` would say that nothing was changed
      const fault = isReplaced ? 'io' : faultOf(error)
      if (fault === 'io') this.#log.error({ code: codeOf(error) }, 'the disk reported an error')
      return { ok: false, fault }
    }
  }
}

/** Whatever fails before the rename leaves the old file as it was, and no temporary. */
async function replace(path: string, bytes: Buffer): Promise<void> {
  const temporary = `${path}.${randomInt(mostTemporaries)}`
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

/** What cannot be removed now is when the receiver starts. */
function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch {}
}

/** The envelope as indented JSON, `receipt` last, and a final line feed. */
function textOf(record: AcceptedRecord, receivedAt: string): string {
  const members = [...record.members, ...record.unhashed, ['receipt', { received_at: receivedAt }] as const]
  // one object each, without its braces: in one for all, names that are integers would come first
  const lines = members.map(([name, value]) => JSON.stringify({ [name]: value }, null, 2).slice(2, -2))
  return `{\n${lines.join(',\n')}\n}\n`
}
