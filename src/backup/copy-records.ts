/**
 * Copies the records that were appended to a records file since the last run, while a receiver may be appending more.
 *
 * Invariants
 *   1. The bytes that are written into the backup are the same that were verified along the chain, from one reading. The chain
 *      begins at the hash in the signed list, so no copy in the backup is trusted.
 *   2. A record counts when the next record confirms it, or when its own content gives its id.
 *   3. A file that does not continue the copied records replaces nothing. If the file is whole by itself, as `verify` and the receiver
 *      judge it, a new line of copies begins beside the old one (the data directory was rolled back, or restored). Otherwise the file
 *      is damaged, and the copies stay as they are.
 *
 * The contents of records inside a chain are not judged here; `verify` judges them.
 */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { follow } from '../records/chain.ts'
import { type Head, isAt } from '../records/head.ts'
import { isWhole } from '../records/id.ts'
import { headName, nameOf, type RecordPath } from '../records/layout.ts'
import type { LineReceipt } from '../records/line.ts'
import { closing, emptyPosition, type Position } from '../records/position.ts'
import { sha256Hex } from '../records/sha256.ts'
import { readRange } from '../storage/files/byte-source.ts'
import { readHead } from '../storage/files/head-file.ts'
import { NotRegular, openRegular } from '../storage/files/regular-file.ts'
import { lastLine, type Snapshot, withSnapshot } from '../storage/files/snapshot-file.ts'
import type { BackupFindingKind } from './findings.ts'
import type { LineEntry, PieceEntry } from './list.ts'
import { checkPieces, PieceWriter, type SourceRange } from './pieces.ts'
import type { BackupRun } from './run.ts'
import { recordsFile } from './source.ts'
import { settledStamp, stampOf } from './stamp.ts'

/** All lines of copies of an association, and their pieces in order. */
export type Copied = { readonly lines: readonly LineEntry[]; readonly pieces: readonly PieceEntry[] }

export async function copyRecords(run: BackupRun, place: RecordPath, before: Copied): Promise<Copied> {
  const path = recordsFile(run.data, place)
  const good = { ...before, pieces: await checkPieces(run, place, before.pieces, rangeOf(path)) }
  const current = good.lines.at(-1)
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (run.trustsStamps && current && stat && current.source === stampOf(stat)) return good
  try {
    // the head is read before the records, because a head that is read later may name later records
    const head = await readHead(join(path, '..', headName))
    const source = stat ? settledStamp(stat, run.now.getTime()) : ''
    return await withSnapshot(path, (snapshot) => new Copy(run, place, good, head, source).take(snapshot))
  } catch (error) {
    const why = whyNot(error)
    if (current) tellOf(run, place, 'kept', `its records file ${why}; ${keepsOf(current)}`)
    else if (error instanceof NotRegular || stat) tellOf(run, place, 'not-held', `its records file ${why}`)
    return good
  }
}

function whyNot(error: unknown): string {
  if (error instanceof NotRegular) return `is ${error.kind}`
  const { code } = error as NodeJS.ErrnoException
  if (code === undefined) throw error
  return code === 'ENOENT' ? 'is missing' : `cannot be read (${code})`
}

function tellOf(run: BackupRun, place: RecordPath, kind: BackupFindingKind, what: string): void {
  run.findings.tell(nameOf(place), kind, what)
}

function keepsOf({ records }: LineEntry): string {
  return `the backup keeps the ${records} records that it has`
}

function rangeOf(path: string): SourceRange {
  return async (from, until) => {
    const file = await openRegular(path).catch(() => undefined)
    if (!file) return undefined
    try {
      const bytes = await readRange(file, from, until)
      return bytes.length === until - from ? bytes : undefined
    } catch {
      return undefined
    } finally {
      await file.close()
    }
  }
}

class Copy {
  readonly #run: BackupRun
  readonly #place: RecordPath
  readonly #before: Copied
  readonly #head: Head | undefined
  readonly #source: string

  constructor(run: BackupRun, place: RecordPath, before: Copied, head: Head | undefined, source: string) {
    this.#run = run
    this.#place = place
    this.#before = before
    this.#head = head
    this.#source = source
  }

  async take(snapshot: Snapshot): Promise<Copied> {
    const current = this.#before.lines.at(-1)
    if (!current) {
      // an empty file without a head: the first record of the association is being stored at this moment
      if (snapshot.size === 0 && !this.#head?.count) return this.#before
      return this.#extend(snapshot, this.#lineAfter(undefined))
    }
    if (await isContinued(snapshot, positionOf(current))) return this.#extend(snapshot, current)
    const count = await this.#wholeRecords(snapshot)
    if (count === undefined) {
      const what =
        'its records file does not continue what was copied, and is not whole: altered, or shortened'
      tellOf(this.#run, this.#place, 'kept', `${what}; ${keepsOf(current)}`)
      return this.#before
    }
    const next = this.#lineAfter(current)
    const what = `its ${count} records do not continue the ${current.records} that were copied: rolled back, restored, or rewritten`
    tellOf(
      this.#run,
      this.#place,
      'line',
      `${what}; line ${next.line} of copies begins, line ${current.line} is kept`,
    )
    return this.#extend(snapshot, next)
  }

  #lineAfter(current: LineEntry | undefined): LineEntry {
    return {
      line: (current?.line ?? 0) + 1,
      records: 0,
      bytes: emptyPosition.end,
      last_sha256: emptyPosition.sha256,
      begun: this.#run.now.toISOString(),
      source: '',
    }
  }

  /** Undefined when the file is not whole, or its head file speaks of other records. */
  async #wholeRecords({ source, end, closed }: Snapshot): Promise<number | undefined> {
    const head = this.#head
    let agrees = !head || head.count === 0
    let lastIsWhole = false
    const position = await follow(source, emptyPosition, end, ({ offset, line, sha256, receipt }) => {
      const here = { count: receipt.sequence, end: offset + line.length, sha256 }
      if (head && isAt(head, here)) agrees = true
      if (here.end === end) lastIsWhole = isWhole(line, receipt)
    })
    return closed && position.end === end && lastIsWhole && agrees ? position.count : undefined
  }

  async #extend(snapshot: Snapshot, line: LineEntry): Promise<Copied> {
    const others = this.#before.lines.filter((each) => each.line !== line.line)
    const [own, rest] = split(this.#before.pieces, line.line)
    // the growing piece is damaged, which was reported already
    if (own.at(-1)?.stamp === '') return this.#before
    const writer = new PieceWriter(this.#run, this.#place, line.line, own)
    try {
      const position = await this.#append(snapshot, positionOf(line), writer)
      const isAll = this.#judge(snapshot, position)
      const pieces = [...rest, ...writer.close()]
      if (position.count === 0) return this.#before
      const { count: records, end: bytes, sha256: last_sha256 } = position
      const source = isAll ? this.#source : ''
      return { lines: [...others, { ...line, records, bytes, last_sha256, source }], pieces }
    } finally {
      writer.abandon()
    }
  }

  /** Writes a record when the next record has confirmed it, and the last record when its content gives its id. */
  async #append({ source, end }: Snapshot, from: Position, writer: PieceWriter): Promise<Position> {
    let position = from
    let last: { readonly here: Position; readonly line: Buffer; readonly receipt: LineReceipt } | undefined
    const write = (): void => {
      if (!last) return
      writer.add(position.count === 0 ? '[\n' : ',\n', last.line)
      position = last.here
    }
    await follow(source, from, end, ({ offset, line, sha256, receipt }) => {
      write()
      const here = { count: receipt.sequence, end: offset + line.length, sha256 }
      last = { here, line: Buffer.from(line), receipt }
    })
    if (last && isWhole(last.line, last.receipt)) write()
    return position
  }

  #judge({ end, closed, size }: Snapshot, position: Position): boolean {
    const { count } = position
    const tell = (what: string): false => {
      const held = `the first ${count} records are in the backup`
      tellOf(this.#run, this.#place, 'not-held', `${what}; ${held}`)
      return false
    }
    if (this.#head && this.#head.count > count)
      return tell(`its head file speaks of ${this.#head.count} records`)
    const isEmpty = count === 0 && closed && size === closing.length + 1
    if (!isEmpty && (!closed || position.end !== end))
      return tell('the end of its records file does not verify')
    return true
  }
}

function positionOf({ records, bytes, last_sha256 }: LineEntry): Position {
  return { count: records, end: bytes, sha256: last_sha256 }
}

/** Whether the records file holds the last copied record at the place where the copies end. */
async function isContinued(snapshot: Snapshot, { end, sha256 }: Position): Promise<boolean> {
  if (snapshot.end < end) return false
  const line = await lastLine({ ...snapshot, end })
  return line !== undefined && sha256Hex(line) === sha256
}

function split(pieces: readonly PieceEntry[], line: number): [own: PieceEntry[], others: PieceEntry[]] {
  return [pieces.filter((each) => each.line === line), pieces.filter((each) => each.line !== line)]
}
