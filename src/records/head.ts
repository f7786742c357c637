/**
 * The text of the head file, `.records.head.json`, which says how many records of `records.json` are known to be on disk.
 * `storage/files/head-file.ts` explains how the file store writes the head file and what it proves after a crash.
 *
 * The text is one line of fixed length. A text whose `check` is wrong, an empty text and zeros all count as no head.
 */
import { closing, type Position } from './position.ts'
import { sha256Hex } from './sha256.ts'

/**
 * `size` is the size of the whole records file, closing included. `sha256` is the hash of its last line, or 64 zeros when it has
 * no record. Version 1.0 wrote one more member, `ctime`, behind the check; it is ignored.
 */
export type Head = {
  readonly count: number
  readonly size: number
  readonly sha256: string
}

const length = 192

export function headOf(position: Position): Head {
  return { count: position.count, size: position.end + closing.length, sha256: position.sha256 }
}

/** Whether the head speaks of exactly this position. */
export function isAt(head: Head, position: Position): boolean {
  const here = headOf(position)
  return head.count === here.count && head.size === here.size && head.sha256 === here.sha256
}

export function headText(head: Head): string {
  const text = `{"count":${head.count},"size":${head.size},"sha256":"${head.sha256}","check":"${checkOf(head)}"}`
  return `${text.padEnd(length - 1)}\n`
}

/** Undefined when the text is not a head with a right check. */
export function parseHead(text: string): Head | undefined {
  try {
    const { count, size, sha256, check } = JSON.parse(text) as Head & { readonly check: unknown }
    const head = { count, size, sha256 }
    return check === checkOf(head) ? head : undefined
  } catch {
    return undefined
  }
}

function checkOf(head: Head): string {
  return sha256Hex(`${head.count} ${head.size} ${head.sha256}`).slice(0, 16)
}
