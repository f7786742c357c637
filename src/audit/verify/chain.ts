/**
 * Reads the chain of a records file to its end, whatever was done to the file, and reports each fault with its line. The
 * receiver stops at the first record that does not follow; this reader looks one record ahead, to tell an inserted line from a
 * removed one, and goes on.
 *
 * A line has its number in the file (`sed -n 813p`), where the line of `[` is line 1. A record is named by its sequence.
 */

import { joined } from '../../records/bytes.ts'
import { closeBracket, comma, openBracket, parseReceipt, quote } from '../../records/line.ts'
import { type ByteSource, lineBatches, type TextLine } from '../../records/lines.ts'
import { noHash } from '../../records/position.ts'
import { sha256All } from '../../records/sha256.ts'
import { type NumberRange, Ranges } from './ranges.ts'

/** The bytes of a records file at one moment, and where its last record ends. */
export type Bytes = {
  readonly source: ByteSource
  readonly size: number
  /** The offset behind the last record, or the size when the file does not end in its closing. */
  readonly end: number
  readonly closed: boolean
}

export type Link = {
  readonly sequence: number
  readonly received_at: string
  readonly sha256: string
  readonly previous_sha256: string
  readonly id: string
  readonly line: number
  readonly offset: number
  readonly length: number
}

export type ChainFault =
  /** The next record has the hash of other bytes. */
  | { readonly kind: 'broken link'; readonly at: Link; readonly next: Link }
  /** The sequence jumps. `rejoined`: the chain holds over the gap nevertheless. */
  | { readonly kind: 'jump'; readonly at: Link; readonly next: Link; readonly rejoined: boolean }
  /** A record that does not follow the one before, and that the next one does not follow. */
  | { readonly kind: 'stray'; readonly at: Link }
  | { readonly kind: 'renumbered'; readonly at: Link; readonly expected: number }
  | { readonly kind: 'no receipt'; readonly line: number }
  | { readonly kind: 'separator'; readonly line: number }
  | { readonly kind: 'opening' }
  /** There are bytes between the closing of the array and the end of the file. */
  | { readonly kind: 'after the end'; readonly line: number }
  /** A line is longer than any record; the bytes behind it were not read. */
  | { readonly kind: 'too long'; readonly line: number; readonly bytes: number }
  /** The file ends in `bytes` bytes of an unfinished record; 0 when only the closing is missing. */
  | { readonly kind: 'open end'; readonly line: number; readonly bytes: number }
  /** The closing of an earlier state stands where a record begins: copied while the receiver was writing. */
  | { readonly kind: 'seam'; readonly line: number }

export type ChainReport = {
  readonly faults: readonly ChainFault[]
  /** How many more faults there are than are listed. */
  readonly more: number
  readonly last: Link
  /** How many lines are not empty, without `[` and the closing. */
  readonly lines: number
  readonly missing: readonly NumberRange[]
  readonly bytes: number
}

export type ChainWatch = {
  /** Called with each record that has its place in the chain, in the order of the chain. */
  record?(link: Link): void
  /** Called after each line, with the offset and the number of the next line. */
  line?(nextOffset: number, nextLine: number): void
}

const mostFaults = 10_000
const openBraceBytes = new TextEncoder().encode('{')

const beginning: Link = {
  sequence: 0,
  received_at: '',
  sha256: noHash,
  previous_sha256: '',
  id: '',
  line: 1,
  offset: 0,
  length: 0,
}

export async function readChain(snapshot: Bytes, watch: ChainWatch = {}): Promise<ChainReport> {
  const order = new Order(watch)
  const lines = new Lines(snapshot)
  for await (const batch of lineBatches(snapshot.source, 0, snapshot.end)) {
    const steps = batch.map((line) => lines.see(line))
    // All hashes are computed at once, because in a browser waiting for each hash is slow.
    const hashes = await sha256All(steps.flatMap(({ record }) => (record ? [record.bytes] : [])))
    let at = 0
    for (const { faults, record, unreadable, next, line } of steps) {
      for (const fault of faults) order.fault(fault)
      if (record) order.take({ ...record.link, sha256: hashes[at++] as string })
      else if (unreadable) order.unreadable(line)
      watch.line?.(next, line + 1)
    }
  }
  for (const fault of lines.atEnd()) order.fault(fault)
  order.end()
  if (!snapshot.closed && !order.hasOpenEnd) order.fault({ kind: 'open end', line: lines.count, bytes: 0 })
  if (lines.count === 0) order.fault({ kind: 'opening' })
  return { ...order.report(), lines: lines.records, bytes: snapshot.end }
}

/** What is known about a line before its hash is computed. */
type Step = {
  readonly line: number
  /** The offset of the next line. */
  readonly next: number
  readonly faults: readonly ChainFault[]
  readonly record?: { readonly link: Omit<Link, 'sha256'>; readonly bytes: Uint8Array }
  readonly unreadable?: true
}

/** Separates records from brackets, and checks the commas between the records. */
class Lines {
  readonly #snapshot: Bytes
  count = 0
  /** How many lines are not empty, without `[` and the closing. */
  records = 0
  #afterComma = true
  #seam = false
  #reached = 0

  constructor(snapshot: Bytes) {
    this.#snapshot = snapshot
  }

  see({ offset, text }: TextLine): Step {
    const line = ++this.count
    const next = offset + text.length + 1
    this.#reached = next
    const isLast = next > this.#snapshot.end
    const faults: ChainFault[] = []
    const step = { line, next, faults }
    if (line === 1 && text.length === 1 && text[0] === openBracket) return step
    if (line === 1) faults.push({ kind: 'opening' })
    const isClosing = text.length === 0 || (text.length === 1 && text[0] === closeBracket)
    if (isClosing && (!this.#afterComma || this.records === 0)) {
      this.#seam = !isLast
      if (isLast && this.#snapshot.closed) faults.push({ kind: 'after the end', line })
      return step
    }
    const bytes = this.#record(text, line, faults)
    const receipt = parseReceipt(bytes)
    if (receipt)
      return { ...step, record: { link: { ...receipt, line, offset, length: bytes.length }, bytes } }
    if (!isLast || this.#snapshot.closed) return { ...step, unreadable: true }
    faults.push({ kind: 'open end', line, bytes: text.length })
    return step
  }

  /** The bytes of a record without its comma. Adds to `faults` when the comma before the record is wrong. */
  #record(text: Uint8Array, line: number, faults: ChainFault[]): Uint8Array {
    this.records++
    const continued = text[text.length - 1] === comma
    let record = continued ? text.subarray(0, -1) : text
    if (this.#seam || (!this.#afterComma && record[0] === closeBracket)) {
      record = acrossSeam(record)
      faults.push({ kind: 'seam', line })
    } else if (!this.#afterComma) faults.push({ kind: 'separator', line })
    this.#seam = false
    this.#afterComma = continued
    return record
  }

  atEnd(): readonly ChainFault[] {
    const { end, closed } = this.#snapshot
    const found: ChainFault[] = []
    if (this.#reached < end) found.push({ kind: 'too long', line: this.count, bytes: end - this.#reached })
    if (closed && this.#afterComma && this.records > 0)
      found.push({ kind: 'separator', line: this.count + 1 })
    return found
  }
}

/** Restores the first byte of a record in a copy that still has a part of the old closing `\n]\n` in place of `,\n{`. */
function acrossSeam(record: Uint8Array): Uint8Array {
  if (record[0] === closeBracket) return record.subarray(1)
  return record[0] === quote ? joined([openBraceBytes, record]) : record
}

/** Puts records into their order. `#held` is a record that does not follow; the next record decides what it is. */
class Order {
  readonly #watch: ChainWatch
  readonly #faults: ChainFault[] = []
  #more = 0
  readonly #seen = new Ranges()
  #at: Link = beginning
  #held: Link | undefined
  #unreadable = 0
  hasOpenEnd = false

  constructor(watch: ChainWatch) {
    this.#watch = watch
  }

  fault(fault: ChainFault): void {
    if (fault.kind === 'open end') this.hasOpenEnd = true
    if (this.#faults.length < mostFaults) this.#faults.push(fault)
    else this.#more++
  }

  unreadable(line: number): void {
    this.fault({ kind: 'no receipt', line })
    this.#placeHeld()
    this.#unreadable++
  }

  take(link: Link): void {
    const held = this.#held
    if (held && follows(link, this.#at)) {
      this.#held = undefined
      this.fault({ kind: 'stray', at: held })
    } else if (held && (follows(link, held) || !this.#discard(held, link))) this.#placeHeld()
    if (follows(link, this.#at)) this.#accept(link)
    else if (this.#fillsUnreadable(link)) this.#accept(link)
    else this.#held = link
  }

  end(): void {
    this.#placeHeld()
    for (let left = this.#unreadable; left > 0; left--) this.#seen.add(this.#at.sequence + left)
  }

  report(): Pick<ChainReport, 'faults' | 'more' | 'last' | 'missing'> {
    return { faults: this.#faults, more: this.#more, last: this.#at, missing: this.#seen.gaps() }
  }

  #accept(link: Link): void {
    for (let gone = this.#at.sequence + 1; this.#unreadable > 0 && gone < link.sequence; gone++)
      this.#seen.add(gone)
    this.#unreadable = 0
    this.#at = link
    this.#seen.add(link.sequence)
    this.#watch.record?.(link)
  }

  /** Whether unreadable lines account for the sequences that are missing before this record. */
  #fillsUnreadable(link: Link): boolean {
    const skipped = link.sequence - this.#at.sequence - 1
    return skipped >= 1 && skipped <= this.#unreadable
  }

  /** True when the held record is reported as a fault, because the next record leaves no place for it. */
  #discard(held: Link, next: Link): boolean {
    const expected = this.#at.sequence + 1
    if (held.sequence === expected || next.sequence === held.sequence + 1) return false
    this.#held = undefined
    if (held.previous_sha256 === this.#at.sha256 && next.sequence === expected + 1) {
      this.fault({ kind: 'renumbered', at: held, expected })
      this.#accept({ ...held, sequence: expected })
    } else this.fault({ kind: 'stray', at: held })
    return true
  }

  /** Gives the held record its place, and reports the fault at that place. */
  #placeHeld(): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    const expected = this.#at.sequence + 1
    const rejoined = held.previous_sha256 === this.#at.sha256
    if (held.sequence === expected) this.fault({ kind: 'broken link', at: this.#at, next: held })
    else if (isRival(held, this.#at)) this.fault({ kind: 'stray', at: this.#at })
    else this.fault({ kind: 'jump', at: this.#at, next: held, rejoined })
    this.#accept(held)
  }
}

/** Two records claim one place. The first of them is reported, because the others follow the second one. */
function isRival(link: Link, at: Link): boolean {
  return link.sequence === at.sequence && link.previous_sha256 === at.previous_sha256
}

function follows(link: Link, at: Link): boolean {
  return link.sequence === at.sequence + 1 && link.previous_sha256 === at.sha256
}
