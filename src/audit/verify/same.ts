/** Finds ids that more than one record has, and payments that more than one record names. */
import type { ByteSource } from '../../records/lines.ts'
import { recordAt } from '../../records/lines.ts'
import { IdTable } from '../../storage/files/id-table.ts'
import type { Link } from './chain.ts'
import type { FileFinding } from './finding.ts'

const mostCandidates = 1_000

/** Finds records with the same id. The receiver never stores an envelope twice, so another program appended the second record. */
export class SameIds {
  readonly #table = new IdTable()
  readonly #candidates: { readonly link: Link; readonly offsets: readonly number[] }[] = []

  see(link: Link): void {
    const offsets = [...this.#table.find(link.id)]
    if (offsets.length > 0 && this.#candidates.length < mostCandidates)
      this.#candidates.push({ link, offsets })
    this.#table.add(link.id, link.offset)
  }

  async findings(source: ByteSource, end: number): Promise<FileFinding[]> {
    const found: FileFinding[] = []
    for (const { link, offsets } of this.#candidates) {
      for (const offset of offsets) {
        const other = await recordAt(source, offset, end)
        if (other?.receipt.id === link.id) found.push(sameId(link, other.receipt.sequence))
      }
    }
    return found
  }
}

function sameId({ sequence, line }: Link, first: number): FileFinding {
  return {
    level: 'finding',
    kind: 'same id',
    record: sequence,
    line,
    what: `has the id of record ${first}`,
    meaning: 'The receiver stores an envelope once. Another program appended it again.',
  }
}

/** Remembers payments by their hash, over all associations, with about 150 bytes of memory for each. */
export class Payments {
  readonly #first = new Map<string, string>()

  /** The record that named this payment first; undefined when `record` is the first. */
  firstUse(hash: string, record: string): string | undefined {
    const first = this.#first.get(hash)
    if (first === undefined) this.#first.set(hash, record)
    return first
  }

  note(hash: string, placeName: string, sequence: number): FileFinding | undefined {
    const first = this.firstUse(hash, `${placeName}, record ${sequence}`)
    if (first === undefined) return undefined
    return {
      level: 'note',
      kind: 'same payment',
      record: sequence,
      what: `names the payment that ${first} names`,
      meaning:
        'One payment, named by two records. The receiver stores both: what a payment is for, it does not judge.',
    }
  }
}
