/**
 * Verifies one `records.json`: chain, contents, times, head file, and the receipts and heads that others kept. The caller
 * provides the bytes and the function that judges contents, and gets findings.
 */
import { type Place, placeName } from '../addons.ts'
import { type Bytes, type ChainReport, type Link, readChain } from './chain.ts'
import { Clock } from './clock.ts'
import { judgeLines } from './content.ts'
import type { LineComplaints, Range, RangeJudgement } from './content-range.ts'
import type { Expectation } from './expectations.ts'
import { explain } from './explain.ts'
import type { FileFinding } from './finding.ts'
import { type Payments, SameIds } from './same.ts'
import { type HeadFile, Witnesses } from './witnesses.ts'

export type Association = {
  readonly place: Place
  readonly head: HeadFile
  readonly expected: readonly Expectation[]
}

export type AssociationRun = {
  /** Judges contents. Undefined: only the chain is verified, and the contents of records beside a fault in it. */
  readonly judge: ((range: Range) => Promise<RangeJudgement>) | undefined
  readonly payments: Payments
  /** Called with the number of bytes that were read, for the progress line. */
  readonly progress: (bytes: number) => void
  /** Called with each record that has its place in the chain. */
  readonly record?: (link: Link) => void
}

export type VerifiedRecords = {
  readonly found: readonly FileFinding[]
  readonly records: number
  /** The last record that has its place in the chain; sequence 0 when there is none. */
  readonly last: Link
}

const stretchBytes = 16 * 1024 * 1024

export async function verifyRecords(
  bytes: Bytes,
  of: Association,
  how: AssociationRun,
): Promise<VerifiedRecords> {
  const witnesses = new Witnesses(of.head, of.expected)
  const clock = new Clock()
  const ids = how.judge ? new SameIds() : undefined
  const work: Promise<RangeJudgement>[] = []
  const chain = await readChain(bytes, {
    record: (link) => {
      witnesses.see(link)
      clock.see(link)
      ids?.see(link)
      how.record?.(link)
    },
    line: stretches(bytes, (range) => {
      how.progress(range.until - range.from)
      if (how.judge) work.push(noticed(how.judge(range)))
    }),
  })
  const judged = await Promise.all(work)
  const complaints = judged.flatMap((each) => each.complaints)
  if (!how.judge) for (const each of await judgeSuspects(bytes, chain, of.place)) complaints.push(each)
  const explained = explain(chain, new Map(complaints))
  const found = [
    ...explained,
    ...clock.findings(),
    ...witnesses.findings(chain, explained),
    ...((await ids?.findings(bytes.source, bytes.end)) ?? []),
    ...unlisted(chain),
    ...unjudged(judged),
    ...samePayments(judged, of.place, how.payments),
  ]
  return { found, records: chain.lines, last: chain.last }
}

/** Keeps Node from ending the process over a rejection, which is handled only after the whole chain was read. */
function noticed<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** The finding about a file without a byte, which may never have held a record or was emptied by somebody. */
export function emptyFile(head: HeadFile, expected: readonly Expectation[]): FileFinding {
  const headSpeaks = head.state === 'read' && head.head.count > 0
  const lost = headSpeaks || expected.some(({ sequence }) => sequence > 0)
  return {
    level: lost ? 'finding' : 'note',
    kind: lost ? 'shortened' : 'empty',
    what: 'the file is empty',
    meaning: lost
      ? 'It held records: the head file or a kept receipt speaks of them. It was emptied.'
      : 'It was created and nothing was acknowledged; the next submission fills it.',
  }
}

/** Divides the bytes that were read into stretches of whole lines. */
function stretches(bytes: Bytes, cut: (range: Range) => void) {
  let from = 0
  let firstLine = 1
  return (nextOffset: number, nextLine: number): void => {
    const isLast = nextOffset > bytes.end
    if (!isLast && nextOffset - from < stretchBytes) return
    const until = Math.min(nextOffset, bytes.end)
    cut({ from, until, firstLine })
    from = until
    firstLine = nextLine
  }
}

function samePayments(judged: readonly RangeJudgement[], place: Place, payments: Payments): FileFinding[] {
  const found: FileFinding[] = []
  for (const each of judged) {
    for (const [hash, sequence] of each.payments) {
      const note = payments.note(hash, placeName(place), sequence)
      if (note) found.push(note)
    }
  }
  return found
}

/** Without `judge`: judges the records beside a fault, and the last record, which no later record confirms. */
async function judgeSuspects(
  { source }: Bytes,
  { faults, last }: ChainReport,
  place: Place,
): Promise<LineComplaints> {
  const beside = faults.flatMap((fault) =>
    fault.kind === 'broken link' ? [fault.at, fault.next] : 'at' in fault ? [fault.at] : [],
  )
  const found: [number, string[]][] = []
  for (const { line, offset, length } of [...beside.slice(0, 2_000), last]) {
    if (length === 0) continue
    const [judged] = await judgeLines([await source.read(offset, offset + length)], place)
    if (judged && judged.complaints.length > 0) found.push([line, judged.complaints])
  }
  return found
}

function unlisted({ more }: ChainReport): FileFinding[] {
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

/** Reports records that were not judged, because silence would look like a check. */
function unjudged(judged: readonly RangeJudgement[]): FileFinding[] {
  const lines = judged.flatMap(({ unjudgedFrom }) => unjudgedFrom ?? [])
  if (lines.length === 0) return []
  return [
    {
      level: 'finding',
      kind: 'more',
      line: Math.min(...lines),
      what: 'and lines behind it were not judged, because so much is wrong before them',
      meaning: `Contents, ids and payments were left out in ${lines.length === 1 ? 'one stretch' : `${lines.length} stretches`} of 16 MB. Nothing is said about those records.`,
    },
  ]
}
