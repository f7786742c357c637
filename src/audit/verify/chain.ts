/**
 * Reads the chain of a records file to its end, whatever was done to it, and tells what is wrong where. Unlike the
 * receiver, which stops at the first record that does not follow, this one looks one record ahead to tell an inserted
 * line from a removed one, and goes on.
 *
 * A line is named by its number in the file (`sed -n 813p`), the line of `[` being 1; a record by its sequence.
 */
import { noHash, parseReceipt, readLines, sha256Hex } from '../../storage/records-file.ts'
import type { Snapshot } from '../snapshot-file.ts'
import { type Range, Ranges } from './ranges.ts'

export type Link = {
  readonly sequence: number
  readonly sha256: string
  readonly previous_sha256: string
  readonly id: string
  readonly line: number
  readonly offset: number
  readonly length: number
}

export type Fault =
  /** The record that follows vouches for other bytes than are there. */
  | { readonly kind: 'broken link'; readonly at: Link; readonly next: Link }
  /** The sequence jumps; `rejoined`: the chain nevertheless holds over the gap. */
  | { readonly kind: 'jump'; readonly at: Link; readonly next: Link; readonly rejoined: boolean }
  /** Follows nothing, and what comes after does not follow it. */
  | { readonly kind: 'stray'; readonly at: Link }
  | { readonly kind: 'renumbered'; readonly at: Link; readonly expected: number }
  | { readonly kind: 'no receipt'; readonly line: number }
  | { readonly kind: 'separator'; readonly line: number }
  | { readonly kind: 'opening' }
  /** A line longer than any record; what is behind it was not read. */
  | { readonly kind: 'too long'; readonly line: number; readonly bytes: number }
  /** `bytes` of an unfinished record; 0 when only the closing is missing. */
  | { readonly kind: 'open end'; readonly line: number; readonly bytes: number }
  /** The closing of an earlier state stands where a record begins: copied while the receiver was writing. */
  | { readonly kind: 'seam'; readonly line: number }

export type ChainReport = {
  readonly faults: readonly Fault[]
  /** Faults beyond those that are listed. */
  readonly more: number
  readonly last: Link
  /** Lines that hold something, `[` and the closing not counted. */
  readonly lines: number
  readonly missing: readonly Range[]
  readonly bytes: number
}

export type ChainWatch = {
  /** Each record that has its place in the chain, in that order. */
  record?(link: Link): void
  /** After each line: where the next one begins. */
  line?(nextOffset: number, nextLine: number): void
}

const mostFaults = 10_000
const comma = 44
const openBracket = 91
const closeBracket = 93
const quote = 34
const openBrace = Buffer.from('{')

const beginning: Link = {
  sequence: 0,
  sha256: noHash,
  previous_sha256: '',
  id: '',
  line: 1,
  offset: 0,
  length: 0,
}

export async function readChain(snapshot: Snapshot, watch: ChainWatch = {}): Promise<ChainReport> {
  const order = new Order(watch)
  let line = 0
  let lines = 0
  let afterComma = true
  let seam = false
  let reached = 0
  const see = (offset: number, text: Buffer, isLast: boolean): void => {
    if (line === 1 && text.length === 1 && text[0] === openBracket) return
    if (line === 1) order.fault({ kind: 'opening' })
    const isClosing = text.length === 0 || (text.length === 1 && text[0] === closeBracket)
    if (isClosing && (!afterComma || lines === 0)) {
      seam = !isLast
      return
    }
    lines++
    const continued = text[text.length - 1] === comma
    let record = continued ? text.subarray(0, -1) : text
    if (seam || (!afterComma && record[0] === closeBracket)) {
      record = acrossSeam(record)
      order.fault({ kind: 'seam', line })
    } else if (!afterComma) order.fault({ kind: 'separator', line })
    seam = false
    afterComma = continued
    const receipt = parseReceipt(record)
    if (receipt) order.take({ ...receipt, sha256: sha256Hex(record), line, offset, length: record.length })
    else if (isLast && !snapshot.closed) order.fault({ kind: 'open end', line, bytes: text.length })
    else order.unreadable(line)
  }
  await readLines(snapshot.file, 0, snapshot.end, (offset, text) => {
    const next = offset + text.length + 1
    line++
    reached = next
    see(offset, text, next > snapshot.end)
    watch.line?.(next, line + 1)
    return true
  })
  if (reached < snapshot.end) order.fault({ kind: 'too long', line, bytes: snapshot.end - reached })
  if (snapshot.closed && afterComma && lines > 0) order.fault({ kind: 'separator', line: line + 1 })
  order.end()
  if (!snapshot.closed && !order.hasOpenEnd) order.fault({ kind: 'open end', line, bytes: 0 })
  if (line === 0) order.fault({ kind: 'opening' })
  return { ...order.report(), lines, bytes: snapshot.end }
}

/** The three bytes of an append that go over the old closing: `,\n{` where the copy still has some of `\n]\n`. */
function acrossSeam(record: Buffer): Buffer {
  if (record[0] === closeBracket) return record.subarray(1)
  return record[0] === quote ? Buffer.concat([openBrace, record]) : record
}

/** Puts records in their order. `#held` is one that does not follow; what comes next tells what it is. */
class Order {
  readonly #watch: ChainWatch
  readonly #faults: Fault[] = []
  #more = 0
  readonly #seen = new Ranges()
  #at: Link = beginning
  #held: Link | undefined
  #unreadable = 0
  hasOpenEnd = false

  constructor(watch: ChainWatch) {
    this.#watch = watch
  }

  fault(fault: Fault): void {
    if (fault.kind === 'open end') this.hasOpenEnd = true
    if (this.#faults.length < mostFaults) this.#faults.push(fault)
    else this.#more++
  }

  unreadable(line: number): void {
    this.fault({ kind: 'no receipt', line })
    this.#settle()
    this.#unreadable++
  }

  take(link: Link): void {
    const held = this.#held
    if (held && follows(link, this.#at)) {
      this.#held = undefined
      this.fault({ kind: 'stray', at: held })
    } else if (held && (follows(link, held) || !this.#discard(held, link))) this.#settle()
    if (follows(link, this.#at)) this.#accept(link)
    else if (this.#fillsUnreadable(link)) this.#accept(link)
    else this.#held = link
  }

  end(): void {
    this.#settle()
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

  /** Lines that could not be read stand for the records between; nothing vouches for the next one's predecessor then. */
  #fillsUnreadable(link: Link): boolean {
    const skipped = link.sequence - this.#at.sequence - 1
    return skipped >= 1 && skipped <= this.#unreadable
  }

  /** True when the held record is set aside, because the one after it gives it no place. */
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

  /** Gives the held record its place, and says what is wrong with that. */
  #settle(): void {
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

/** Two records for one place: the one that others follow is told later, so the first of them is the stranger. */
function isRival(link: Link, at: Link): boolean {
  return link.sequence === at.sequence && link.previous_sha256 === at.previous_sha256
}

function follows(link: Link, at: Link): boolean {
  return link.sequence === at.sequence + 1 && link.previous_sha256 === at.sha256
}
