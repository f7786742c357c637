/**
 * The records file of one association: opened and verified under the lock, appended to, and closed again.
 *
 * This process remembers the records between openings (`known-records.ts`). An opening compares the file with its last stamp. An
 * unchanged file is not read. Of a file that has grown, only the growth is read and verified. Any other file is verified from
 * the start.
 *
 * Invariants
 *   1. A record is remembered only after its fdatasync, or after it was read and verified.
 *   2. A file in a state that no crash can leave is refused and not touched (`recover.ts`).
 *   3. After a failed write or fdatasync the old closing is put back. If that fails, or after EIO, everything known is
 *      forgotten and the next opening verifies from the start: a later fdatasync that succeeds proves nothing.
 *   4. No answer rests on bytes that another process wrote until this process has fdatasynced them: the other process may
 *      have died between its write and its fdatasync.
 *   5. A new records file that could not be made, or whose first batch could not be written, is removed with its head file.
 */
import { type BigIntStats, fstatSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../../log.ts'
import type { Batch, Written } from '../../records/batch.ts'
import { type Head, headOf } from '../../records/head.ts'
import { fileMode, headName, recordsName } from '../../records/layout.ts'
import { recordAt } from '../../records/lines.ts'
import { closing, type Position } from '../../records/position.ts'
import type { StorageObserver } from '../observer.ts'
import { sourceOf } from './byte-source.ts'
import { datasync, openOrMake, truncateSync, writeAllSync } from './durable-file.ts'
import { makeEmptyFiles, removeEmptyFiles } from './empty-files.ts'
import { codeOf, ifThere, isFull, requireLock, StorageFault } from './fault.ts'
import { FileReading } from './file-reading.ts'
import { readHead, writeHeadSync } from './head-file.ts'
import { type FileStamp, isSame, KnownRecords, stampOf } from './known-records.ts'
import { isClosed, repair } from './recover.ts'
import { readRefusal } from './refusal.ts'

export class AssociationFile {
  readonly #directory: string
  readonly #path: string
  readonly #headPath: string
  readonly #log: Log
  readonly #observer: StorageObserver | undefined
  readonly #known = new KnownRecords()
  #refused: { readonly stamp: FileStamp; readonly fault: StorageFault } | undefined
  #file: FileHandle | undefined
  #head: FileHandle | undefined
  /** The file may hold bytes of another process that are not on disk yet (invariant 4). */
  #hasInherited = true
  #reading: FileReading | undefined
  #witness: Head | undefined

  constructor(directory: string, log: Log, observer?: StorageObserver) {
    this.#directory = directory
    this.#path = join(directory, recordsName)
    this.#headPath = join(directory, headName)
    this.#log = log
    this.#observer = observer
  }

  get isKnown(): boolean {
    return this.#known.isKnown || this.#refused !== undefined
  }

  get count(): number {
    return this.#known.count
  }

  get position(): Position {
    return this.#known.position
  }

  /** How long the reading that is under way will still take, at its speed so far; 0 when nothing is being read. */
  get readingLeftMs(): number {
    return this.#reading?.leftMs ?? 0
  }

  /** The last record that must be in the file: known from memory, the head file or an earlier refusal when it was last opened. */
  get witness(): Head | undefined {
    return this.#witness
  }

  /**
   * Reads the file without the lock, so that a long file keeps nobody waiting. The head file is read first, so that the head cannot
   * name records that are appended meanwhile. A file that disagrees with the head is left to `open`, which judges it.
   */
  async preload(): Promise<void> {
    const head = await this.#readHeads()
    const file = await ifThere(open(this.#path, 'r'))
    if (!file) return
    try {
      const stat = await file.stat({ bigint: true })
      const reading = new FileReading(Number(stat.size))
      this.#reading = reading
      await this.#known.readUnlocked(file, stat, head, (offset) => {
        reading.reached(offset)
      })
    } finally {
      this.#reading = undefined
      await file.close()
    }
  }

  /**
   * Opens and verifies the file. Called under the lock. Throws `damaged`, and leaves the file alone, when no crash can have left it
   * as it is; throws `busy` when the lock is lost before a write. If the file is open already and unchanged, this costs one stat.
   */
  async open(isHeld: () => boolean): Promise<void> {
    const found = statSync(this.#path, { bigint: true, throwIfNoEntry: false })
    if (this.#file && found && this.#known.isAt(stampOf(found))) return
    await this.close()
    const head = await this.#readHeads()
    this.#witness = this.#known.witness(head)
    try {
      this.#file = await ifThere(open(this.#path, 'r+'))
      const stat = await this.#file?.stat({ bigint: true })
      if (this.#file && stat && stat.size > 0n) await this.#catchUp(this.#file, stat, head, isHeld)
      else await this.#create(head, isHeld)
      this.#head = await open(this.#headPath, openOrMake, fileMode)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /**
   * Whether the open file is as this process left it. The lock does not prove that, because an editor does not ask for the
   * lock.
   */
  isUnchanged(): boolean {
    return this.#known.isAt(this.#stampNow())
  }

  /** Closes both files. What this process remembers of the records stays in memory. */
  async close(): Promise<void> {
    const [file, head] = [this.#file, this.#head]
    this.#file = undefined
    this.#head = undefined
    await Promise.all([file?.close(), head?.close()])
  }

  /** The stored record with this id, read from the file. */
  async find(id: string): Promise<Written | undefined> {
    for (const offset of this.#known.find(id)) {
      const found = await recordAt(sourceOf(this.#opened()), offset, this.#known.position.end)
      if (found?.receipt.id === id) return { ...found.receipt, offset, sha256: found.sha256 }
    }
    return undefined
  }

  /** Syncs bytes that another process wrote, before an answer rests on them (invariant 4). */
  async syncInherited(): Promise<void> {
    if (!this.#hasInherited) return
    await this.#sync()
    this.#writeHead()
  }

  /**
   * Appends a batch: one write over the closing, then fdatasync. Gives undefined when the lock was lost before the write or after
   * the fdatasync, or when the file was changed by somebody else. The next opening then verifies what is in the file.
   */
  async append(
    make: (from: Position, isEmpty: boolean) => Batch,
    isHeld: () => boolean,
  ): Promise<readonly Written[] | undefined> {
    const { position: from, isEmpty } = this.#known
    const batch = make(from, isEmpty)
    if (!isHeld() || !this.isUnchanged()) return undefined
    try {
      writeAllSync(this.#opened().fd, batch.bytes, isEmpty ? 0 : from.end)
      await this.#sync()
    } catch (error) {
      if (!isHeld()) this.#forget()
      else if (!(await this.#putBack(isEmpty, isHeld)) || !isFull(error)) this.#forget()
      throw error
    }
    if (!isHeld()) return undefined
    this.#observer?.batch(batch.records.length)
    this.#known.add(batch, this.#stampNow())
    this.#writeHead()
    return batch.records
  }

  #opened(): FileHandle {
    if (!this.#file) throw new Error('the records file is not open')
    return this.#file
  }

  #stampNow(): FileStamp {
    return stampOf(fstatSync(this.#opened().fd, { bigint: true }))
  }

  #forget(): void {
    this.#known.forget()
    this.#hasInherited = true
  }

  async #sync(): Promise<void> {
    const began = performance.now()
    await datasync(this.#opened().fd)
    this.#observer?.synced('append', performance.now() - began)
    this.#hasInherited = false
  }

  /** The head of the head file, or the head that an earlier refusal kept if that one has more records. */
  async #readHeads(): Promise<Head | undefined> {
    const head = await readHead(this.#headPath)
    const kept = (await readRefusal(this.#directory))?.head ?? undefined
    return kept && kept.count > (head?.count ?? 0) ? kept : head
  }

  #writeHead(): void {
    try {
      if (this.#head) writeHeadSync(this.#head.fd, headOf(this.#known.position))
    } catch (error) {
      // not an error: the records are on disk, and a head may lag behind them
      this.#log.warn({ code: codeOf(error) }, 'a head file could not be written')
    }
  }

  /** Puts the old closing back on disk, which needs no new block. False when that failed, too. */
  async #putBack(wasEmpty: boolean, isHeld: () => boolean): Promise<boolean> {
    const file = this.#opened()
    const { position } = this.#known
    try {
      if (wasEmpty) {
        removeEmptyFiles(this.#directory)
        this.#forget()
        return true
      }
      writeAllSync(file.fd, Buffer.from(closing), position.end)
      requireLock(isHeld)
      truncateSync(file.fd, position.end + closing.length)
      await this.#sync()
      this.#known.setPosition(position, this.#stampNow())
      return true
    } catch (error) {
      this.#log.error({ code: codeOf(error) }, 'the old end of a records file could not be put back')
      return false
    }
  }

  async #create(head: Head | undefined, isHeld: () => boolean): Promise<void> {
    if ((head && head.count > 0) || this.#known.position.count > 0) {
      throw new StorageFault('damaged', 'the records file is missing, and there were records in it')
    }
    this.#forget()
    await this.#file?.close()
    this.#file = await makeEmptyFiles(this.#directory, isHeld)
    this.#known.begin(stampOf(await this.#file.stat({ bigint: true })))
  }

  async #catchUp(
    file: FileHandle,
    stat: BigIntStats,
    head: Head | undefined,
    isHeld: () => boolean,
  ): Promise<void> {
    const stamp = stampOf(stat)
    if (this.#known.isAt(stamp)) return
    if (this.#refused && isSame(this.#refused.stamp, stamp)) throw this.#refused.fault
    this.#hasInherited = true
    if (await this.#known.readGrowth(file, stamp, head)) return
    try {
      await this.#readAll(file, Number(stat.size), this.#witness, isHeld)
    } catch (error) {
      if (error instanceof StorageFault && error.fault === 'damaged') this.#refused = { stamp, fault: error }
      throw error
    }
    this.#refused = undefined
    this.#known.setPosition(this.#known.position, stampOf(await file.stat({ bigint: true })))
  }

  async #readAll(
    file: FileHandle,
    size: number,
    head: Head | undefined,
    isHeld: () => boolean,
  ): Promise<void> {
    const known = this.#known
    try {
      const agreesWithHead = await known.readFromStart(file, size, head)
      if (agreesWithHead && (await isClosed(file, known.position, size))) return
      const verified = { position: known.position, agreesWithHead }
      const position = await repair(file, this.#path, size, verified, head, known.remember, isHeld)
      known.setPosition(position, stampOf(await file.stat({ bigint: true })))
    } catch (error) {
      this.#forget()
      throw error
    }
    this.#log.warn(
      { records: known.position.count },
      'a torn end of a records file was cut off and kept beside it',
    )
  }
}
