/**
 * Reading a records file while a receiver may be appending to it (DESIGN, "Readers without the lock"): take the size S,
 * see the closing `\n]\n` at S − 3, and read only what is before it. Those bytes never change.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { closing, readLines } from '../storage/records-file.ts'

/** `end`: the offset after the last record, or the size when the file never showed its closing. */
export type Snapshot = {
  readonly file: FileHandle
  readonly size: number
  readonly end: number
  readonly closed: boolean
}

const tries = 100

export async function withSnapshot<T>(path: string, use: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  const file = await open(path, 'r')
  try {
    return await use(await snapshotOf(file))
  } finally {
    await file.close()
  }
}

/** An append changes the last three bytes before it shows its own closing, so one look may fall between. */
async function snapshotOf(file: FileHandle): Promise<Snapshot> {
  for (let tried = 0; ; tried++) {
    const { size } = await file.stat()
    const closed = await endsClosed(file, size)
    if (closed) return { file, size, end: size - closing.length, closed }
    if (tried === tries) return { file, size, end: size, closed }
    await sleep(1)
  }
}

async function endsClosed(file: FileHandle, size: number): Promise<boolean> {
  if (size < closing.length + 1) return false
  const { buffer, bytesRead } = await file.read(
    Buffer.alloc(closing.length),
    0,
    closing.length,
    size - closing.length,
  )
  return buffer.toString('latin1', 0, bytesRead) === closing
}

const batchBytes = 1024 * 1024
const comma = 44

/** The lines of the records, without their commas and the line of `[`; nothing is said about whether they are whole. */
export async function* recordLines({ file, end }: Snapshot): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < end; ) {
    const batch: Buffer[] = []
    let size = 0
    await readLines(file, offset, end, (at, text) => {
      if (at > 0 || text.toString('latin1') !== '[')
        batch.push(Buffer.from(text.at(-1) === comma ? text.subarray(0, -1) : text))
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
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - from), 0, end - from, from)
    const feed = buffer.subarray(0, bytesRead).lastIndexOf(10)
    if (feed !== -1) return buffer.subarray(feed + 1, bytesRead)
    if (from === 0) return undefined
  }
}
