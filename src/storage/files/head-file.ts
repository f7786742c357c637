/**
 * The head file, `.records.head.json`, says how far `records.json` is on disk. It is written after the fdatasync of a batch and
 * before the receipts, and it is not synced. So the head may lag behind the records file, but it never names a record that is not
 * on disk.
 *
 * The head tells a torn write from lost records: a records file that ends before the record in the head has lost records. An
 * auditor can also compare the file with the head.
 *
 * The head file is rewritten in place by one write of fixed length. A head that a power cut has torn is read as no head.
 */
import { readFile } from 'node:fs/promises'
import { type Head, headText, parseHead } from '../../records/head.ts'
import { writeAllSync } from './durable-file.ts'
import { ifThere } from './fault.ts'

export function writeHeadSync(fd: number, head: Head): void {
  writeAllSync(fd, Buffer.from(headText(head), 'latin1'), 0)
}

/** Undefined when there is no head file, or when its check is wrong. */
export async function readHead(path: string): Promise<Head | undefined> {
  const text = await ifThere(readFile(path, 'latin1'))
  return text === undefined ? undefined : parseHead(text)
}
