/** One `records.json`: chain, contents, head file, and what others kept about it. */
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { Head } from '../../storage/head-file.ts'
import { readHead } from '../../storage/head-file.ts'
import { IdTable } from '../../storage/id-table.ts'
import { headName } from '../../storage/paths.ts'
import { closing, noHash, recordAt } from '../../storage/records-file.ts'
import { recordsPath } from '../read.ts'
import { type Snapshot, withSnapshot } from '../snapshot-file.ts'
import { type ChainReport, type Link, readChain } from './chain.ts'
import { judgeLine } from './content.ts'
import type { LineComplaints } from './content-range.ts'
import type { Expectation } from './expectations.ts'
import { explain } from './explain.ts'
import type { Finding, Report } from './finding.ts'
import type { Judges } from './judges.ts'

export type Association = {
  readonly root: string
  readonly slug: string
  readonly expected: readonly Expectation[]
}

export type Tally = { readonly records: number; readonly bytes: number }

export type How = {
  /** Undefined: only the chain, and the contents of records that it makes suspicious. */
  readonly judges: Judges | undefined
  readonly report: Report
  /** Told of bytes as they are read, for the progress line. */
  readonly progress: (bytes: number) => void
}

const stretchBytes = 16 * 1024 * 1024

export async function verifyAssociation(of: Association, how: How): Promise<Tally> {
  const path = recordsPath(of.root, of.slug)
  const shown = `scn01/${of.slug}/records.json`
  // before the file: a head that was read first never leads it
  const head = await readHead(join(path, '..', headName))
  return withSnapshot(path, async (snapshot) => {
    if (snapshot.size === 0) return empty(shown, head, of, how)
    const seen = new Witnesses(head, of.expected)
    const ids = how.judges ? new SameIds() : undefined
    const work: Promise<LineComplaints>[] = []
    const chain = await readChain(snapshot, {
      record: (link) => {
        seen.see(link)
        ids?.see(link)
      },
      line: stretches(snapshot, (from, until, firstLine) => {
        how.progress(until - from)
        if (how.judges) work.push(noticed(how.judges.judge({ path, slug: of.slug, from, until, firstLine })))
      }),
    })
    const complaints = new Map((await Promise.all(work)).flat())
    if (!how.judges)
      for (const [line, details] of await judgeSuspects(snapshot.file, chain, of.slug))
        complaints.set(line, details)
    const found = explain(chain, complaints)
    for (const each of found) how.report({ ...each, path: shown })
    for (const each of [
      ...seen.findings(chain, found),
      ...((await ids?.findings(snapshot)) ?? []),
      ...unlisted(chain),
    ]) {
      how.report({ ...each, path: shown })
    }
    return { records: chain.lines, bytes: snapshot.size }
  })
}

/** A rejection is looked at when the chain has been read; until then it must not count as unhandled. */
function noticed<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

type Told = Omit<Finding, 'path'>

function empty(path: string, head: Head | undefined, of: Association, how: How): Tally {
  const lost = (head?.count ?? 0) > 0 || of.expected.some(({ sequence }) => sequence > 0)
  how.report({
    level: lost ? 'finding' : 'note',
    kind: lost ? 'shortened' : 'empty',
    path,
    what: 'the file is empty',
    meaning: lost
      ? 'It held records: the head file or a kept receipt speaks of them. It was emptied.'
      : 'It was created and nothing was acknowledged; the next submission fills it.',
  })
  return { records: 0, bytes: 0 }
}

/** Cuts what has been read into stretches of whole lines. */
function stretches(snapshot: Snapshot, cut: (from: number, until: number, firstLine: number) => void) {
  let from = 0
  let firstLine = 1
  return (nextOffset: number, nextLine: number): void => {
    const isLast = nextOffset > snapshot.end
    if (!isLast && nextOffset - from < stretchBytes) return
    const until = Math.min(nextOffset, snapshot.end)
    cut(from, until, firstLine)
    from = until
    firstLine = nextLine
  }
}

/** The records that a head file and others speak of, met or not. */
class Witnesses {
  readonly #head: Head | undefined
  readonly #expected: readonly Expectation[]
  readonly #wanted: ReadonlySet<number>
  readonly #met = new Map<number, Link[]>()

  constructor(head: Head | undefined, expected: readonly Expectation[]) {
    this.#head = head
    this.#expected = expected
    this.#wanted = new Set([head?.count ?? 0, ...expected.map(({ sequence }) => sequence)])
  }

  see(link: Link): void {
    if (this.#wanted.has(link.sequence))
      this.#met.set(link.sequence, [...(this.#met.get(link.sequence) ?? []), link])
  }

  findings(chain: ChainReport, told: readonly Told[]): Told[] {
    const fromHead = this.#head && this.#head.count > 0 ? this.#aboutHead(this.#head, chain, told) : []
    return [...fromHead, ...this.#expected.flatMap((each) => this.#about(each, chain))]
  }

  #aboutHead(head: Head, chain: ChainReport, told: readonly Told[]): Told[] {
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

  #about({ sequence, sha256, source }: Expectation, chain: ChainReport): Told[] {
    if (sequence === 0) return []
    const met = this.#met.get(sequence)
    if (!met) return [shortened(sequence, chain, `${source} names record`)]
    return met.some((link) => link.sha256 === sha256) ? [] : [rewritten(sequence, met[0]!.line, source)]
  }
}

function shortened(sequence: number, chain: ChainReport, whoNames: string): Told {
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

function rewritten(sequence: number, line: number, source: string): Told {
  return {
    level: 'finding',
    kind: 'rewritten',
    record: sequence,
    line,
    what: `has another SHA-256 than ${source} says`,
    meaning: 'This record, or one before it, was altered, and the chain was made anew from there on.',
  }
}

/** Ids that are there twice: the receiver answers the second sending of an envelope and does not store it. */
class SameIds {
  readonly #table = new IdTable()
  readonly #candidates: { readonly link: Link; readonly offsets: readonly number[] }[] = []

  see(link: Link): void {
    const offsets = [...this.#table.find(link.id)]
    if (offsets.length > 0 && this.#candidates.length < 1_000) this.#candidates.push({ link, offsets })
    this.#table.add(link.id, link.offset)
  }

  async findings(snapshot: Snapshot): Promise<Told[]> {
    const found: Told[] = []
    for (const { link, offsets } of this.#candidates) {
      for (const offset of offsets) {
        const other = await recordAt(snapshot.file, offset, snapshot.end)
        if (other?.receipt.id === link.id) found.push(sameId(link, other.receipt.sequence))
      }
    }
    return found
  }
}

function sameId({ sequence, line }: Link, first: number): Told {
  return {
    level: 'finding',
    kind: 'same id',
    record: sequence,
    line,
    what: `has the id of record ${first}`,
    meaning: 'The receiver stores an envelope once. Another program appended it again.',
  }
}

/** Without judges: the content of records beside a fault, and of the last one, for which no later record vouches. */
async function judgeSuspects(
  file: FileHandle,
  { faults, last }: ChainReport,
  slug: string,
): Promise<LineComplaints> {
  const beside = faults.flatMap((fault) =>
    fault.kind === 'broken link' ? [fault.at, fault.next] : 'at' in fault ? [fault.at] : [],
  )
  const found: [number, string[]][] = []
  for (const { line, offset, length } of [...beside.slice(0, 2_000), last]) {
    if (length === 0) continue
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
    const details = judgeLine(buffer.subarray(0, bytesRead), { addon: 'scn01', slug })
    if (details.length > 0) found.push([line, details])
  }
  return found
}

function unlisted({ more }: ChainReport): Told[] {
  if (more === 0) return []
  return [
    {
      level: 'finding',
      kind: 'more',
      what: `${more} more faults in the chain are not listed`,
      meaning: 'The file is damaged throughout.',
    },
  ]
}

/** The head of an association as `SLUG:SEQUENCE:SHA256`, from the file itself and not from the head file. */
export async function headLine(root: string, slug: string): Promise<{ link: Link; sound: boolean }> {
  return withSnapshot(recordsPath(root, slug), async (snapshot) => {
    const chain = await readChain(snapshot)
    const sound = chain.faults.every(({ kind }) => kind === 'seam')
    return { link: chain.last.sequence > 0 ? chain.last : { ...chain.last, sha256: noHash }, sound }
  })
}
