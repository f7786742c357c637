/**
 * Reads a records file while a receiver may be appending to it (DESIGN, "Readers without the lock"): take the size S, check that
 * the closing `\n]\n` stands at S − 3, and read only the bytes before the closing. These bytes never change.
 */
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { lineFeed, openBracket } from '../../records/line.ts'
import { type ByteSource, readLines, withoutComma } from '../../records/lines.ts'
import { closing } from '../../records/position.ts'
import { readRange, sourceOf } from './byte-source.ts'
import { openRegular } from './regular-file.ts'

/** `end` is the offset behind the last record, or the size when no closing was seen at the end of the file. */
export type Snapshot = {
  readonly file: FileHandle
  readonly source: ByteSource
  readonly size: number
  readonly end: number
  readonly closed: boolean
}

const tries = 100

export async function withSnapshot<T>(path: string, use: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  const file = await openRegular(path)
  try {
    return await use(await snapshotOf(file))
  } finally {
    await file.close()
  }
}

/** Looks several times, because an append overwrites the old closing before it has written its own. */
async function snapshotOf(file: FileHandle): Promise<Snapshot> {
  const source = sourceOf(file)
  for (let tried = 0; ; tried++) {
    const { size } = await file.stat()
    const closed = await endsClosed(file, size)
    if (closed) return { file, source, size, end: size - closing.length, closed }
    if (tried === tries) return { file, source, size, end: size, closed }
    await sleep(1)
  }
}

async function endsClosed(file: FileHandle, size: number): Promise<boolean> {
  if (size < closing.length + 1) return false
  return (await readRange(file, size - closing.length, size)).toString('latin1') === closing
}

const batchBytes = 1024 * 1024

/** The lines of the records, without their commas and without the line of `[`. The lines are not checked. */
export async function* recordLines({ source, end }: Snapshot): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < end; ) {
    const batch: Buffer[] = []
    let size = 0
    await readLines(source, offset, end, (at, text) => {
      if (at > 0 || text.length !== 1 || text[0] !== openBracket) batch.push(Buffer.from(withoutComma(text)))
      offset = at + text.length + 1
      size += text.length
      return size < batchBytes
    })
    if (size === 0) return
    yield* batch
  }
}

/** The last record of a snapshot, found from the end; undefined when there is none. */
export async function lastLine({ file, end }: Snapshot): Promise<Buffer | undefined> {
  for (let size = 64 * 1024; ; size *= 4) {
    const from = Math.max(0, end - size)
    const bytes = await readRange(file, from, end)
    const feed = bytes.lastIndexOf(lineFeed)
    if (feed !== -1) return bytes.subarray(feed + 1)
    if (from === 0) return undefined
  }
}
