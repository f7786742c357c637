/**
 * What this process remembers of a records file: the ids of its records, where the last record ends, and the stamp that the file
 * had at that time. Records that this module reads were written by another process, so it verifies them along the chain.
 */
import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Batch } from '../../records/batch.ts'
import { type Head, headOf } from '../../records/head.ts'
import { closing, emptyPosition, type Position } from '../../records/position.ts'
import { IdTable } from './id-table.ts'
import { isClosed, verify } from './recover.ts'

/** Two equal stamps mean that nobody has written to the file: inode, size, and the time of the last change of any kind. */
export type FileStamp = { readonly ino: bigint; readonly size: bigint; readonly ctime: bigint }

export const stampOf = (stat: BigIntStats): FileStamp => ({
  ino: stat.ino,
  size: stat.size,
  ctime: stat.ctimeNs,
})
export const isSame = (a: FileStamp, b: FileStamp): boolean =>
  a.ino === b.ino && a.size === b.size && a.ctime === b.ctime

/** The time of change of a file that was read without the lock, and whose writer may still take the last records back. */
const unlocked = 0n

export class KnownRecords {
  #ids = new IdTable()
  #position: Position = emptyPosition
  /** The stamp of the file when everything up to the position had been verified or written; undefined: nothing is known. */
  #seen: FileStamp | undefined

  get isKnown(): boolean {
    return this.#seen !== undefined
  }

  get count(): number {
    return this.#ids.count
  }

  get position(): Position {
    return this.#position
  }

  /** The file exists and nothing has been written to it, not even the bracket. */
  get isEmpty(): boolean {
    return this.#seen?.size === 0n
  }

  /** Offsets at which the record with this id may begin. */
  find(id: string): Iterable<number> {
    return this.#ids.find(id)
  }

  isAt(stamp: FileStamp): boolean {
    return this.#seen !== undefined && isSame(this.#seen, stamp)
  }

  forget(): void {
    this.#ids = new IdTable()
    this.#position = emptyPosition
    this.#seen = undefined
  }

  /** A file that was just made. Should another process have written to it, the next opening reads its records. */
  begin(stamp: FileStamp): void {
    this.forget()
    this.#seen = { ...stamp, size: 0n }
  }

  /** A batch is on disk; `stamp` is the file as it was seen after that. */
  add({ records, next }: Batch, stamp: FileStamp): void {
    this.setPosition(next, stamp)
    for (const { id, offset } of records) this.remember(id, offset)
  }

  /**
   * The file ends after this position. The size is the one we expect (our last record plus the closing), not what the file
   * system says now: another process may already have appended.
   */
  setPosition(position: Position, stamp: FileStamp): void {
    this.#position = position
    this.#seen = { ...stamp, size: BigInt(position.end + closing.length) }
  }

  readonly remember = (id: string, offset: number): void => this.#ids.add(id, offset)

  /**
   * The records that must be in the file: those of the head file, or those this process has seen under the lock if these are
   * more.
   */
  witness(head: Head | undefined): Head | undefined {
    if (!this.#seen || this.#seen.ctime === unlocked) return head
    return head && head.count > this.#position.count ? head : headOf(this.#position)
  }

  /** Reads the file from its start up to `until`, the size without the closing; true when the chain holds the head's record. */
  async readFromStart(
    file: FileHandle,
    until: number,
    head: Head | undefined,
    onOffset: (offset: number) => void = () => {},
  ): Promise<boolean> {
    this.forget()
    const { position, agreesWithHead } = await verify(file, emptyPosition, until, head, (id, offset) => {
      this.remember(id, offset)
      onOffset(offset)
    })
    this.#position = position
    return agreesWithHead
  }

  /**
   * Reads a file without its lock. Bytes before the closing never change, so a verified record stays verified; the end is read
   * again under the lock. When the file disagrees with the head, nothing is remembered.
   */
  async readUnlocked(
    file: FileHandle,
    stat: BigIntStats,
    head: Head | undefined,
    onOffset: (offset: number) => void,
  ): Promise<void> {
    const until = Number(stat.size) - closing.length
    if (!(await this.readFromStart(file, until, head, onOffset))) this.forget()
    else this.#seen = { ino: stat.ino, size: BigInt(this.#position.end), ctime: unlocked }
  }

  /** Reads the records behind the known ones. False when the file has changed in any other way than by whole new records. */
  async readGrowth(file: FileHandle, stamp: FileStamp, head: Head | undefined): Promise<boolean> {
    if (this.#seen?.ino !== stamp.ino || stamp.size <= this.#seen.size) return false
    const size = Number(stamp.size)
    const { position, agreesWithHead } = await verify(file, this.#position, size, head, this.remember)
    if (!agreesWithHead || !(await isClosed(file, position, size))) return false
    this.#position = position
    this.#seen = stamp
    return true
  }
}
