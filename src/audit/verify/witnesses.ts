/** Compares the records of a file with the head file beside it, and with the receipts and heads that others kept. */
import type { Head } from '../../records/head.ts'
import { closing } from '../../records/position.ts'
import type { ChainReport, Link } from './chain.ts'
import type { Expectation } from './expectations.ts'
import type { FileFinding } from './finding.ts'
import { isStamped, stampedFindings, vouches } from './stamped.ts'

/** The head in `.records.head.json`, or why there is none. */
export type HeadFile =
  | { readonly state: 'read'; readonly head: Head }
  /** `blank`: empty or all zeros, as a power cut or a refused first post leaves the file. */
  | { readonly state: 'missing' | 'blank' | 'garbage' }

export class Witnesses {
  readonly #file: HeadFile
  readonly #head: Head | undefined
  readonly #expected: readonly Expectation[]
  readonly #wanted: Set<number>
  readonly #met = new Map<number, Link[]>()

  constructor(file: HeadFile, expected: readonly Expectation[]) {
    this.#file = file
    this.#head = file.state === 'read' ? file.head : undefined
    this.#expected = expected
    this.#wanted = new Set(expected.map(({ sequence }) => sequence))
    this.#wanted.add(this.#head?.count ?? 0)
  }

  see(link: Link): void {
    if (!this.#wanted.has(link.sequence)) return
    const met = this.#met.get(link.sequence)
    if (met) met.push(link)
    else this.#met.set(link.sequence, [link])
  }

  findings(chain: ChainReport, told: readonly FileFinding[]): FileFinding[] {
    const found = this.#head && this.#head.count > 0 ? this.#aboutHead(this.#head, chain, told) : []
    for (const each of this.#expected) if (!isStamped(each)) found.push(...this.#about(each, chain))
    found.push(...stampedFindings(this.#expected.filter(isStamped), this.#met, chain, told))
    found.push(...this.#aboutEnd(chain))
    return found
  }

  #aboutHead(head: Head, chain: ChainReport, told: readonly FileFinding[]): FileFinding[] {
    const met = this.#met.get(head.count)
    if (!met) return [shortened(head.count, chain, 'the head file beside it names record')]
    const agrees = met.some(
      ({ sha256, offset, length }) =>
        sha256 === head.sha256 && offset + length + closing.length === head.size,
    )
    const explained = told.some(
      ({ level, record }) => level === 'finding' && (record === head.count || chain.faults.length > 0),
    )
    return agrees || explained ? [] : [rewritten(head.count, met[0]!.line, 'the head file beside it')]
  }

  #about({ sequence, sha256, source }: Expectation, chain: ChainReport): FileFinding[] {
    if (sequence === 0) return []
    const met = this.#met.get(sequence)
    if (!met) return [shortened(sequence, chain, `${source} names record`)]
    return met.some((link) => link.sha256 === sha256) ? [] : [rewritten(sequence, met[0]!.line, source)]
  }

  /** Findings about the end of the file, when neither the head file nor a receipt confirms it. */
  #aboutEnd({ last }: ChainReport): FileFinding[] {
    const newest = this.#expected
      .filter(vouches)
      .reduce((highest, { sequence }) => Math.max(highest, sequence), 0)
    const found: FileFinding[] = []
    if (this.#file.state !== 'read' && last.sequence > 0)
      found.push(withoutHead(this.#file.state, newest >= last.sequence))
    if (newest > 0 && newest < last.sequence) found.push(afterReceipts(newest, last.sequence))
    return found
  }
}

function shortened(sequence: number, chain: ChainReport, whoNames: string): FileFinding {
  const inside = sequence <= chain.last.sequence
  return {
    level: 'finding',
    kind: 'shortened',
    record: sequence,
    what: inside
      ? `is not there, and ${whoNames} ${sequence}`
      : `is not there: ${whoNames} ${sequence}, the file ends at ${chain.last.sequence}`,
    meaning: inside
      ? 'The record was acknowledged and removed.'
      : 'Records were cut off the end. (In a copy: the receiver may have been writing while it was taken, the head file after the records. Take it again as AUDITORS.md shows; if the finding stays, records were cut off.)',
  }
}

function rewritten(sequence: number, line: number, source: string): FileFinding {
  return {
    level: 'finding',
    kind: 'rewritten',
    record: sequence,
    line,
    what: `has another SHA-256 than ${source} says`,
    meaning: 'This record, or one before it, was altered, and the chain was made anew from there on.',
  }
}

function withoutHead(state: 'missing' | 'blank' | 'garbage', isCovered: boolean): FileFinding {
  const what = {
    missing: 'there is no head file (.records.head.json) beside it',
    blank: 'the head file (.records.head.json) beside it is blank',
    garbage: 'the head file (.records.head.json) beside it cannot be read',
  }[state]
  return {
    level: isCovered ? 'note' : 'finding',
    kind: 'no head',
    what,
    meaning: isCovered
      ? 'A receipt that somebody kept names the last record, so the end was compared all the same.'
      : 'It cannot be told whether records were cut off the end. (A copy may have left the hidden file out, and a power cut may have torn it; the next submission writes it anew.) A receipt or a head that somebody kept tells it.',
  }
}

function afterReceipts(newest: number, last: number): FileFinding {
  return {
    level: 'note',
    kind: 'after the receipts',
    record: newest + 1,
    what:
      newest + 1 === last
        ? 'is newer than every receipt given'
        : `to ${last} are newer than every receipt given`,
    meaning: 'Nothing from outside vouches for them. Whoever can write the file could have made them anew.',
  }
}
