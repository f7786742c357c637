/**
 * `.records.head.json`: how far `records.json` was known to be on disk. Written after the fdatasync of a batch and before its
 * receipts, and not synced: it may lag behind the file, it never leads it.
 *
 * It tells a torn write from lost records: a file that ends before the record in the head has lost records. It also gives an
 * auditor something to compare with.
 *
 * It is rewritten in place, one write of fixed length. A write torn by a power cut is read as no head at all.
 */
import { readFile } from 'node:fs/promises'
import { type Head, headText, parseHead } from '../../records/head.ts'
import { writeAllSync } from './durable-file.ts'
import { ifThere } from './fault.ts'

export function writeHeadSync(fd: number, head: Head): void {
  writeAllSync(fd, Buffer.from(headText(head), 'latin1'), 0)
}

/** The head, or undefined when there is none that can be trusted. */
export async function readHead(path: string): Promise<Head | undefined> {
  const text = await ifThere(readFile(path, 'latin1'))
  return text === undefined ? undefined : parseHead(text)
}
