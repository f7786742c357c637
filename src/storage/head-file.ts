/**
 * `.records.head.json`: how far `records.json` was known to be on disk. Written after the fdatasync of a batch and before its
 * receipts, and not synced: it may lag behind the file, it never leads it.
 *
 * What it is for: a tail that is cut before the head is a file that lost records, not a torn write; an auditor has something
 * to compare with; and `ctime` tells whether anybody has changed `records.json` since, the disk's own mistakes aside. Every
 * write, truncation, rename or change of mode sets it, as fine as the file system keeps time (4 ms as a rule), and nothing
 * short of the system's clock sets it back.
 *
 * It is rewritten in place, one write of fixed length. A write torn by a power cut fails `check` and is read as no head at
 * all, as are an empty file and one of zeros.
 */
import { readFile } from 'node:fs/promises'
import { writeAllSync } from './durable-file.ts'
import { hasCode } from './fault.ts'
import { closing, type Position, sha256Hex } from './records-file.ts'

/**
 * `size` is that of the whole file, closing included; `sha256` that of its last line (64 zeros when there is none). `ctime`
 * is the file's time of change in nanoseconds, seen under the lock after the fdatasync; versions before did not write it.
 */
export type Head = {
  readonly count: number
  readonly size: number
  readonly sha256: string
  readonly ctime?: bigint | undefined
}

const length = 192

/** Without `ctime`, so that a version that does not know it can read the file. One that is wrong agrees with no file. */
function checkOf(head: Head): string {
  return sha256Hex(`${head.count} ${head.size} ${head.sha256}`).slice(0, 16)
}

export function headOf(position: Position, ctime?: bigint): Head {
  return { count: position.count, size: position.end + closing.length, sha256: position.sha256, ctime }
}

export function headText(head: Head): string {
  const ctime = head.ctime === undefined ? '' : `,"ctime":"${head.ctime}"`
  const text = `{"count":${head.count},"size":${head.size},"sha256":"${head.sha256}","check":"${checkOf(head)}"${ctime}}`
  return `${text.padEnd(length - 1)}\n`
}

export function writeHeadSync(fd: number, head: Head): void {
  writeAllSync(fd, Buffer.from(headText(head), 'latin1'), 0)
}

/** The head, or undefined when there is none that can be trusted. */
export async function readHead(path: string): Promise<Head | undefined> {
  try {
    return parseHead(await readFile(path, 'latin1'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function parseHead(text: string): Head | undefined {
  try {
    const { count, size, sha256, check, ctime } = JSON.parse(text) as Head &
      Record<'check' | 'ctime', unknown>
    const head = { count, size, sha256, ...(typeof ctime === 'string' && { ctime: BigInt(ctime) }) }
    return check === checkOf(head) ? head : undefined
  } catch {
    return undefined
  }
}
