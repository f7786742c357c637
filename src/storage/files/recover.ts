/**
 * Judges a records file that this process did not write last, and repairs a torn end. The last writer may have been this program
 * before a crash, another process, or a person with an editor.
 *
 * Invariants
 *   1. The file is verified forward along the chain. A record counts only if the next record, the head file or its own content
 *      confirms it. (Scanning backward for the last line that parses would keep records that stand behind a hole.)
 *   2. Only a torn tail is ever cut: every record that the head file counts is there, the cut bytes are fewer than `longestTear`,
 *      and without a head file they hold no whole record. Before the cut, the bytes are on disk in a file beside the records.
 *   3. Anything else is damage, and nothing is touched.
 *   4. Recovery itself may be killed at any point; the next recovery finds a state that it can repair in the same way.
 *
 * Whole records that were never acknowledged stay: a retry finds them.
 */

import { type FileHandle, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { follow } from '../../records/chain.ts'
import { type Head, isAt } from '../../records/head.ts'
import { isWhole } from '../../records/id.ts'
import { fileMode } from '../../records/layout.ts'
import { closeBrace, lineFeed, openBrace, parseReceipt } from '../../records/line.ts'
import { longestLine, readLines } from '../../records/lines.ts'
import { closing, emptyPosition, type Position } from '../../records/position.ts'
import { sha256Hex } from '../../records/sha256.ts'
import { readRange, sourceOf } from './byte-source.ts'
import { changeNames, datasync, removeIfThere, truncateSync, writeAllSync } from './durable-file.ts'
import { requireLock, StorageFault } from './fault.ts'
import { tornName } from './paths.ts'

/** A batch has at most 1 MiB, but one record may be larger, and another version may have had other limits. */
const longestTear = 8 * 1024 * 1024

/** Where the verified chain ends, and whether the chain holds the record of the head file at its place. */
export type VerifiedChain = { readonly position: Position; readonly agreesWithHead: boolean }

type OnRecord = (id: string, offset: number) => void

/** Invariant 1. Calls `onRecord` for every record that counts, in order. `until` is the size without the closing. */
export async function verify(
  file: FileHandle,
  from: Position,
  until: number,
  head: Head | undefined,
  onRecord: OnRecord,
): Promise<VerifiedChain> {
  let agreesWithHead = head === undefined || head.count < from.count || head.count === 0 || isAt(head, from)
  if (from.count === 0 && (await readRange(file, 0, 1)).toString('latin1') !== '[')
    return { position: from, agreesWithHead }
  let last: { before: Position; here: Position; id: string; offset: number } | undefined
  const keep = (): void => {
    if (!last) return
    onRecord(last.id, last.offset)
    if (head && isAt(head, last.here)) agreesWithHead = true
  }
  await follow(sourceOf(file), from, until, ({ offset, line, sha256, receipt }) => {
    keep()
    const here = { count: receipt.sequence, end: offset + line.length, sha256 }
    last = { before: last?.here ?? from, here, id: receipt.id, offset }
  })
  if (!last) return { position: from, agreesWithHead }
  const vouched = head !== undefined && isAt(head, last.here)
  if (!vouched && !(await isWholeAt(file, last.offset, last.here.end)))
    return { position: last.before, agreesWithHead }
  keep()
  return { position: last.here, agreesWithHead }
}

async function isWholeAt(file: FileHandle, from: number, until: number): Promise<boolean> {
  const line = await readRange(file, from, until)
  const receipt = parseReceipt(line)
  return receipt !== undefined && isWhole(line, receipt)
}

/** Whether the closing stands right behind the position and ends the file. */
export async function isClosed(file: FileHandle, position: Position, size: number): Promise<boolean> {
  if (size !== position.end + closing.length) return false
  const start = position.count === 0 ? 0 : position.end
  const expected = position.count === 0 ? `[${closing}` : closing
  return (await readRange(file, start, size)).toString('latin1') === expected
}

/**
 * Makes a file with a torn tail whole again (invariants 2 and 4), or throws `damaged` (invariant 3). Under the lock.
 * `verified` must come from a reading from the start of the file.
 */
export async function repair(
  file: FileHandle,
  path: string,
  size: number,
  verified: VerifiedChain,
  head: Head | undefined,
  onRecord: OnRecord,
  isHeld: () => boolean,
): Promise<Position> {
  const position = await salvage(file, verified.position, size, onRecord)
  const agrees = verified.agreesWithHead || (head !== undefined && isAt(head, position))
  if (!agrees)
    throw new StorageFault('damaged', 'records that the head file speaks of are missing or altered')
  // in a file without records the opening bracket may be torn, too
  const end = position.count === 0 ? 0 : position.end
  if (size - end > longestTear)
    throw new StorageFault('damaged', 'the part that does not verify is too long for a torn write')
  const cut = await readRange(file, end, size)
  if (!head && (await hasWholeRecord(file, end, size))) {
    throw new StorageFault(
      'damaged',
      'whole records stand behind one that does not verify, and there is no head file',
    )
  }
  const ending = position.count === 0 ? `[${closing}` : closing
  if (!ending.startsWith(cut.toString('latin1'))) await keepTorn(path, cut)
  requireLock(isHeld)
  writeAllSync(file.fd, Buffer.from(ending), end)
  // this process may have been stopped here, and another one may have appended behind the closing meanwhile
  requireLock(isHeld)
  truncateSync(file.fd, end + ending.length)
  await datasync(file.fd)
  return position.count === 0 ? emptyPosition : position
}

/** A record that a torn write left whole, with other bytes behind it on its line: `{…},]`, or `{…}` and zeros. */
async function salvage(
  file: FileHandle,
  from: Position,
  size: number,
  onRecord: OnRecord,
): Promise<Position> {
  const separator = from.count === 0 ? '[\n' : ',\n'
  const start = from.count === 0 ? 0 : from.end
  const rest = await readRange(file, start, Math.min(size, start + longestLine))
  if (!rest.toString('latin1', 0, separator.length).startsWith(separator)) return from
  const feed = rest.indexOf(lineFeed, separator.length)
  const text = rest.subarray(separator.length, feed === -1 ? rest.length : feed)
  for (let at = text.indexOf('"}}'); at !== -1; at = text.indexOf('"}}', at + 1)) {
    const line = text.subarray(0, at + 3)
    const receipt = parseReceipt(line)
    if (
      receipt?.sequence !== from.count + 1 ||
      receipt.previous_sha256 !== from.sha256 ||
      !isWhole(line, receipt)
    )
      continue
    const offset = start + separator.length
    onRecord(receipt.id, offset)
    return { count: receipt.sequence, end: offset + line.length, sha256: sha256Hex(line) }
  }
  return from
}

async function hasWholeRecord(file: FileHandle, from: number, until: number): Promise<boolean> {
  let found = false
  await readLines(sourceOf(file), from, until, (_offset, text) => {
    const line = text.subarray(Math.max(text.indexOf(openBrace), 0), text.lastIndexOf(closeBrace) + 1)
    const receipt = parseReceipt(line)
    found = receipt !== undefined && isWhole(line, receipt)
    return !found
  })
  return found
}

async function keepTorn(path: string, bytes: Buffer): Promise<void> {
  const directory = dirname(path)
  const copy = join(directory, tornName(new Date()))
  await changeNames(directory, async () => {
    const torn = await open(copy, 'wx', fileMode)
    try {
      writeAllSync(torn.fd, bytes, 0)
      await torn.sync()
    } catch (error) {
      // otherwise each attempt on a full disk would leave one more file
      removeIfThere(copy)
      throw error
    } finally {
      await torn.close()
    }
  })
}
