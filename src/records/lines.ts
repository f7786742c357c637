/** Reads lines from any source of bytes: a file under Node, a File in a browser, a table of a database. */
import { joined } from './bytes.ts'
import { comma, type Line, lineFeed, parseReceipt } from './line.ts'
import { sha256Hex } from './sha256.ts'

export type ByteSource = {
  /** How many bytes to ask for at once; 1 MiB by default. */
  readonly chunk?: number
  /** The bytes from `from` up to, but not including, `until`; fewer when the source ends before. The caller owns the bytes. */
  read(from: number, until: number): Promise<Uint8Array>
}

/**
 * The most bytes of one record as it is stored, by either storage rule and in either store (SPEC 4). Blanks count; the receipt of
 * an append-only record does not. The limit is below the longest torn write that recovery accepts. A record comes near it only
 * when MAX_BODY_BYTES was raised.
 */
export const longestRecord = 7.5 * 1024 * 1024
/** A line, or a file of one record, that is longer than this is no record, because no receiver writes one. */
export const longestLine = 2 * longestRecord
const chunkSize = 1024 * 1024
/** How many bytes to read at once when only one record is wanted. */
const recordChunk = 64 * 1024

/** Called with each line, without its line feed. Returning false ends the reading. */
type OnLine = (offset: number, text: Uint8Array) => boolean

/**
 * Reads the lines between two offsets; the last may lack its line feed. Uses the memory of three chunks, or of the longest
 * line.
 */
export async function readLines(
  source: ByteSource,
  from: number,
  until: number,
  onLine: OnLine,
  chunk?: number,
): Promise<void> {
  for await (const batch of lineBatches(source, from, until, chunk))
    for (const { offset, text } of batch) if (!onLine(offset, text)) return
}

/** One line without its line feed. */
export type TextLine = { readonly offset: number; readonly text: Uint8Array }

/** Gives the same lines as `readLines`, all lines of one chunk at a time. */
export async function* lineBatches(
  source: ByteSource,
  from: number,
  until: number,
  chunk: number = source.chunk ?? chunkSize,
): AsyncGenerator<readonly TextLine[], void> {
  /** The parts, read so far, of a line whose end is in a later chunk. */
  let begun: Uint8Array[] = []
  let begunLength = 0
  /** Where the line begins. */
  let offset = from
  for await (const bytes of chunks(source, from, until, chunk)) {
    const batch: TextLine[] = []
    let start = 0
    for (let feed = bytes.indexOf(lineFeed); feed !== -1; feed = bytes.indexOf(lineFeed, start)) {
      const rest = bytes.subarray(start, feed)
      const text = begunLength === 0 ? rest : joined([...begun, rest])
      batch.push({ offset, text })
      offset += text.length + 1
      start = feed + 1
      begun = []
      begunLength = 0
    }
    begun.push(bytes.subarray(start))
    begunLength += bytes.length - start
    if (batch.length > 0) yield batch
    if (begunLength >= longestLine) break
  }
  if (begunLength > 0) yield [{ offset, text: joined(begun) }]
}

/**
 * The bytes between two offsets, a chunk at a time. From the second chunk on, the next chunk is read while the caller works on the
 * one before. So a caller that wants a single line pays for one read, and a caller that wants all does not wait for the disk.
 */
async function* chunks(
  source: ByteSource,
  from: number,
  until: number,
  size: number,
): AsyncGenerator<Uint8Array, void> {
  const read = (at: number): Promise<Uint8Array> | undefined =>
    at < until ? source.read(at, Math.min(at + size, until)) : undefined
  let at = from
  let next = read(at)
  let isFirst = true
  try {
    while (next) {
      const bytes: Uint8Array = await next
      next = undefined
      if (bytes.length === 0) return
      at += bytes.length
      if (!isFirst) next = read(at)
      yield bytes
      if (isFirst) next = read(at)
      isFirst = false
    }
  } finally {
    // a read that is still under way must end first, because the caller may close the source afterwards
    await next?.catch(() => {})
  }
}

/** The record that begins at `offset`; undefined when none does. */
export async function recordAt(
  source: ByteSource,
  offset: number,
  until: number,
): Promise<Omit<Line, 'offset'> | undefined> {
  let found: Omit<Line, 'offset'> | undefined
  const onLine: OnLine = (_offset, text) => {
    const line = withoutComma(text)
    const receipt = parseReceipt(line)
    if (receipt) found = { line, sha256: sha256Hex(line), receipt }
    return false
  }
  await readLines(source, offset, until, onLine, recordChunk)
  return found
}

/** The bytes of a line that its hash is computed over. */
export function withoutComma(text: Uint8Array): Uint8Array {
  return text[text.length - 1] === comma ? text.subarray(0, -1) : text
}
