/**
 * The records file of one association as this process knows it: where it ends, and which ids are in it.
 *
 * What is known is kept between openings. An opening under the lock first compares the file with how it was last seen:
 * unchanged, nothing is read; grown, the growth is read and verified; anything else is verified from the start. A long file
 * is known again by the next process from its index, if the head file says that nobody has changed it since.
 *
 * Invariants
 *   1. What is known changes only after it is on disk (fdatasync), or was read and verified.
 *   2. A file that is not as a crash may leave it is refused and not touched (`recover.ts`).
 *   3. After a failed write or fdatasync the old closing is put back. If that fails, or after EIO, everything known is
 *      forgotten and the next opening verifies from the start: a later fdatasync that succeeds proves nothing.
 *   4. Nothing is answered from bytes that another writer left until they have been fdatasynced here: it may have died
 *      between its write and its fdatasync.
 *   5. An index is used only for a file whose size and time of change are those that the head file has, so that nothing
 *      was done to it after its last receipt; whose end is closed; and whose chain goes on from the index to the head.
 *      After a crash between a write and its head, a power cut that took the head, a restored backup, an editor, or
 *      anything else, every record is read.
 */
import { type BigIntStats, constants, fstatSync, statSync, unlinkSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../log.ts'
import { assemble, type Draft, type Written } from './batch.ts'
import { datasync, fileMode, fsyncDirectory, truncateSync, writeAllSync } from './durable-file.ts'
import { codeOf, hasCode, isFull, requireLock, StorageFault } from './fault.ts'
import { type Head, headOf, readHead, writeHeadSync } from './head-file.ts'
import { IdTable } from './id-table.ts'
import { readIndex, writeIndex } from './index-file.ts'
import type { StorageObserver } from './observer.ts'
import { headName, indexName, recordsName } from './paths.ts'
import { closing, emptyPosition, type Position, recordAt } from './records-file.ts'
import { isAt, isClosed, mend, verify } from './recover.ts'

/** What tells whether somebody else has written: the inode, its size, and the time of its last change of any kind. */
type Stamp = { readonly ino: bigint; readonly size: bigint; readonly ctime: bigint }

const stampOf = (stat: BigIntStats): Stamp => ({ ino: stat.ino, size: stat.size, ctime: stat.ctimeNs })
const isSame = (a: Stamp, b: Stamp): boolean => a.ino === b.ino && a.size === b.size && a.ctime === b.ctime
/** With the size that goes with what is known, not the one that was found: without the lock, others may have written. */
const stampAt = (stamp: Stamp, { end }: Position): Stamp => ({ ...stamp, size: BigInt(end + closing.length) })

/** In place of a time of change: seen without the lock, so its last records may yet be taken back. */
const unlocked = 0n

/** Shorter files are read in the time that an index takes, about 20 ms. */
const leastIndexed = 4_096
/** A new index is due when the records after the last one are more than this part of it. */
const indexedAnew = 1 / 16

const openOrMake = constants.O_RDWR | constants.O_CREAT

export class AssociationFile {
  readonly #directory: string
  readonly #path: string
  readonly #headPath: string
  readonly #log: Log
  readonly #observer: StorageObserver | undefined
  #ids = new IdTable()
  /** How many of the records are in the index file. */
  #indexed = 0
  #position: Position = emptyPosition
  /** The file when everything up to `#position` had been verified or written; undefined: nothing is known. */
  #seen: Stamp | undefined
  #refused: { readonly stamp: Stamp; readonly fault: StorageFault } | undefined
  #file: FileHandle | undefined
  #head: FileHandle | undefined
  #unsynced = true

  constructor(directory: string, log: Log, observer?: StorageObserver) {
    this.#directory = directory
    this.#path = join(directory, recordsName)
    this.#headPath = join(directory, headName)
    this.#log = log
    this.#observer = observer
  }

  get isKnown(): boolean {
    return this.#seen !== undefined || this.#refused !== undefined
  }

  get count(): number {
    return this.#ids.count
  }

  /**
   * Reads what is there without the lock, so that a long file keeps nobody waiting. Bytes before the closing never
   * change, so what verifies here stays true; the end is looked at again by `open`. What does not agree with the head file
   * (read first, so that it cannot speak of what is appended meanwhile) is left to `open`, which judges it.
   */
  async preload(): Promise<void> {
    const head = await readHead(this.#headPath)
    const file = await open(this.#path, 'r').catch(absent)
    if (!file) return
    try {
      const stat = await file.stat({ bigint: true })
      if (await this.#recall(file, stat, head)) return
      if (!(await this.#readFromStart(file, Number(stat.size) - closing.length, head))) this.#forget()
      else this.#seen = { ino: stat.ino, size: BigInt(this.#position.end), ctime: unlocked }
    } finally {
      await file.close()
    }
  }

  /**
   * Under the lock. Throws `damaged` and leaves the file alone when it is not as a crash may leave it, `busy` when the lock
   * is lost before something has to be written. A file that is open from last time and is still the one at its path,
   * unchanged, costs one stat.
   */
  async open(isHeld: () => boolean): Promise<void> {
    const found = statSync(this.#path, { bigint: true, throwIfNoEntry: false })
    if (this.#file && found && this.#seen && isSame(this.#seen, stampOf(found))) return
    await this.close()
    const head = await readHead(this.#headPath)
    try {
      this.#file = await open(this.#path, 'r+').catch(absent)
      const stat = await this.#file?.stat({ bigint: true })
      if (this.#file && stat && stat.size > 0n) await this.#catchUp(this.#file, stat, head, isHeld)
      else await this.#create(head, isHeld)
      this.#head = await open(this.#headPath, openOrMake, fileMode)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Whether the open file is as this process found or left it: somebody with an editor asks for no lock. */
  isAsLeft(): boolean {
    return this.#seen !== undefined && isSame(this.#seen, this.#stampNow())
  }

  get isOpen(): boolean {
    return this.#file !== undefined
  }

  /** What is known stays known. */
  async close(): Promise<void> {
    const [file, head] = [this.#file, this.#head]
    this.#file = undefined
    this.#head = undefined
    await Promise.all([file?.close(), head?.close()])
  }

  /** Writes the index of a long file if it is due. For a moment without work, with or without the lock. */
  async keepIndex(): Promise<void> {
    const { count } = this.#position
    const isDue = count >= leastIndexed && count - this.#indexed > this.#indexed * indexedAnew
    // an error in the midst of reading leaves ids beyond the position
    if (!isDue || count !== this.#ids.count) return
    this.#indexed = count
    try {
      await writeIndex(join(this.#directory, indexName), { position: this.#position, ids: this.#ids })
    } catch (error) {
      this.#log.warn({ code: codeOf(error) }, 'an index could not be written; the next start takes longer')
    }
  }

  /** The stored record with this id, read from the file. */
  async find(id: string): Promise<Written | undefined> {
    for (const offset of this.#ids.find(id)) {
      const found = await recordAt(this.#opened(), offset, this.#position.end)
      if (found?.receipt.id === id) return { ...found.receipt, offset, sha256: found.sha256 }
    }
    return undefined
  }

  /** Makes what another writer left last on disk, before anything is answered from it (invariant 4). */
  async settle(): Promise<void> {
    if (!this.#unsynced) return
    await this.#sync()
    this.#writeHead()
  }

  /**
   * Appends a batch: one write over the closing, then fdatasync. `isHeld` is asked right before the write and after the
   * fdatasync. When it says no, or the file is not as it was left, undefined is returned and the next opening finds out
   * what became of the file and the batch.
   */
  async append(
    drafts: readonly Draft[],
    receivedAt: string,
    isHeld: () => boolean,
  ): Promise<readonly Written[] | undefined> {
    const from = this.#position
    const isEmpty = this.#seen?.size === 0n
    const batch = assemble(from, isEmpty, drafts, receivedAt)
    if (!isHeld() || !this.isAsLeft()) return undefined
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
    this.#seen = stampAt(this.#stampNow(), batch.next)
    this.#position = batch.next
    for (const { id, offset } of batch.records) this.#ids.add(id, offset)
    this.#writeHead()
    return batch.records
  }

  readonly #remember = (id: string, offset: number): void => this.#ids.add(id, offset)

  #opened(): FileHandle {
    if (!this.#file) throw new Error('the records file is not open')
    return this.#file
  }

  #stampNow(): Stamp {
    return stampOf(fstatSync(this.#opened().fd, { bigint: true }))
  }

  #forget(): void {
    this.#ids = new IdTable()
    this.#indexed = 0
    this.#position = emptyPosition
    this.#seen = undefined
    this.#unsynced = true
  }

  async #sync(): Promise<void> {
    const began = performance.now()
    await datasync(this.#opened().fd)
    this.#observer?.synced('append', performance.now() - began)
    this.#unsynced = false
  }

  #writeHead(): void {
    try {
      if (this.#head) writeHeadSync(this.#head.fd, headOf(this.#position, this.#seen?.ctime))
    } catch (error) {
      // the head may lag, and the records are on disk
      this.#log.warn({ code: (error as NodeJS.ErrnoException).code }, 'a head file could not be written')
    }
  }

  /** The old end of the file, on disk; needs no new block. False when that failed, too. */
  async #putBack(wasEmpty: boolean, isHeld: () => boolean): Promise<boolean> {
    const file = this.#opened()
    try {
      if (wasEmpty) {
        unlinkSync(this.#path)
        this.#forget()
        return true
      }
      writeAllSync(file.fd, Buffer.from(closing), this.#position.end)
      requireLock(isHeld)
      truncateSync(file.fd, this.#position.end + closing.length)
      await this.#sync()
      this.#seen = stampAt(this.#stampNow(), this.#position)
      return true
    } catch (error) {
      this.#log.error(
        { code: (error as NodeJS.ErrnoException).code },
        'the old end of a records file could not be put back',
      )
      return false
    }
  }

  /**
   * A new association. Its head file is on disk first, and the names of both are before any record is: from then on a
   * first batch that was torn is told from records that went missing.
   */
  async #create(head: Head | undefined, isHeld: () => boolean): Promise<void> {
    if ((head && head.count > 0) || this.#position.count > 0) {
      throw new StorageFault('damaged', 'the records file is missing, and there were records in it')
    }
    this.#forget()
    const headFile = await open(this.#headPath, openOrMake, fileMode)
    try {
      await headFile.chmod(fileMode)
      requireLock(isHeld)
      writeHeadSync(headFile.fd, headOf(emptyPosition))
      await headFile.sync()
    } finally {
      await headFile.close()
    }
    this.#file ??= await open(this.#path, openOrMake, fileMode)
    await this.#file.chmod(fileMode)
    await fsyncDirectory(this.#directory)
    // empty is what is known of it: should it not be, its records are read at the next opening
    this.#seen = { ...stampOf(await this.#file.stat({ bigint: true })), size: 0n }
  }

  async #catchUp(
    file: FileHandle,
    stat: BigIntStats,
    head: Head | undefined,
    isHeld: () => boolean,
  ): Promise<void> {
    const stamp = stampOf(stat)
    if (this.#seen && isSame(this.#seen, stamp)) return
    if (this.#refused && isSame(this.#refused.stamp, stamp)) throw this.#refused.fault
    this.#unsynced = true
    if (await this.#readGrowth(file, stamp, head)) return
    try {
      await this.#readAll(file, Number(stat.size), this.#witness(head), isHeld)
    } catch (error) {
      this.#forget()
      if (error instanceof StorageFault && error.fault === 'damaged') this.#refused = { stamp, fault: error }
      throw error
    }
    this.#refused = undefined
    this.#seen = stampAt(stampOf(await file.stat({ bigint: true })), this.#position)
  }

  /** True when all that changed is that whole records were added behind what is known. */
  async #readGrowth(file: FileHandle, stamp: Stamp, head: Head | undefined): Promise<boolean> {
    if (this.#seen?.ino !== stamp.ino || stamp.size <= this.#seen.size) return false
    const size = Number(stamp.size)
    const { position, agreesWithHead } = await verify(file, this.#position, size, head, this.#remember)
    if (!agreesWithHead || !(await isClosed(file, position, size))) return false
    this.#position = position
    this.#seen = stamp
    return true
  }

  /** What must be in the file: what the head file speaks of, or what this process has seen under the lock if that is more. */
  #witness(head: Head | undefined): Head | undefined {
    if (!this.#seen || this.#seen.ctime === unlocked) return head
    return head && head.count > this.#position.count ? head : headOf(this.#position)
  }

  /** Invariant 5. False: nothing is known yet. */
  async #recall(file: FileHandle, stat: BigIntStats, head: Head | undefined): Promise<boolean> {
    const isUntouched = head?.ctime === stat.ctimeNs && BigInt(head.size) === stat.size
    const index = isUntouched ? await readIndex(join(this.#directory, indexName)) : undefined
    if (!index || !head) return false
    this.#ids = index.ids
    const { position } = await verify(file, index.position, head.size - closing.length, head, this.#remember)
    if (!isAt(head, position) || !(await isClosed(file, position, head.size))) return false
    this.#indexed = index.position.count
    this.#position = position
    this.#seen = stampOf(stat)
    return true
  }

  async #readFromStart(file: FileHandle, until: number, head: Head | undefined): Promise<boolean> {
    this.#forget()
    const { position, agreesWithHead } = await verify(file, emptyPosition, until, head, this.#remember)
    this.#position = position
    return agreesWithHead
  }

  async #readAll(
    file: FileHandle,
    size: number,
    head: Head | undefined,
    isHeld: () => boolean,
  ): Promise<void> {
    const agreesWithHead = await this.#readFromStart(file, size, head)
    if (agreesWithHead && (await isClosed(file, this.#position, size))) return
    const verified = { position: this.#position, agreesWithHead }
    this.#position = await mend(file, this.#path, size, verified, head, this.#remember, isHeld)
    this.#log.warn(
      { records: this.#position.count },
      'a torn end of a records file was cut off and kept beside it',
    )
  }
}

function absent(error: unknown): undefined {
  if (hasCode(error, 'ENOENT')) return undefined
  throw error
}
