/** Runs `verify` on the opened files and collects what the page shows. The judging code is the same as the tool's. */
import { counted } from '../../cli/print.ts'
import type { ByteSource } from '../../records/lines.ts'
import { type Place, placeName } from '../addons.ts'
import type { Link } from '../verify/chain.ts'
import type { Expectation } from '../verify/expectations.ts'
import type { Finding } from '../verify/finding.ts'
import type { Judge } from '../verify/in-directory.ts'
import { beyond, omissions } from '../verify/omissions.ts'
import { type OverwriteFile, readTree } from '../verify/tree.ts'
import { Counts, type Verdict } from '../verify/verdict.ts'
import { type Totals, verifyTree } from '../verify/whole.ts'
import { type Opened, openedDirectory } from './opened-directory.ts'
import type { UncheckedStamps } from './unchecked-stamps.ts'

/** Where receipts and heads were read from, and how many there were. */
export type Source = { readonly name: string; readonly count: number }

export type Kept = { readonly expected: readonly Expectation[]; readonly sources: readonly Source[] }

type CheckedPlace = {
  readonly place: Place
  readonly records: number
  readonly bytes: number
  readonly last: Link | undefined
  /** How many records were received on each day; days without records are left out. */
  readonly days: readonly (readonly [day: string, count: number])[]
  readonly verdict: Verdict
}

export type Report = {
  readonly checked_at: string
  readonly version: string
  readonly seconds: number
  readonly totals: Totals
  readonly findings: readonly Finding[]
  readonly verdict: Verdict
  readonly compared_with: readonly Source[]
  readonly not_checked: readonly string[]
  readonly cannot_be_checked: readonly string[]
  readonly stamps_not_checked: UncheckedStamps
  readonly associations: readonly CheckedPlace[]
  readonly files: readonly OverwriteFile[]
}

type Options = {
  readonly kept: Kept
  readonly judge: Judge
  readonly version: string
  readonly now: Date
  /** How many opened files were not checked, because they are not part of a data directory. */
  readonly outside: number
  readonly stamps: UncheckedStamps
  progress(done: number, total: number, what: string): void
  /** Called with each record that has its place in a chain. */
  record?(place: Place, link: Link): void
  /** Called with the source that the offsets of these records refer to. */
  source?(place: Place, source: ByteSource): void
}

export async function check(opened: readonly Opened[], options: Options): Promise<Report> {
  const { kept, judge, now } = options
  const findings: Finding[] = []
  const counts = new Counts()
  const report = (finding: Finding): void => {
    findings.push(finding)
    counts.add(finding)
  }
  const start = performance.now()
  const directory = openedDirectory(opened)
  const days = new Days()
  const associations: Omit<CheckedPlace, 'verdict'>[] = []
  const tree = await readTree(directory, { report, checkModes: false, now: now.getTime() })
  const totals = await verifyTree(
    directory,
    tree,
    { expected: kept.expected, judge },
    {
      report,
      progress: options.progress,
      pause: async () => {},
      record: (place, link) => {
        days.see(link)
        options.record?.(place, link)
      },
      association: (place, { records, bytes, last, source }) => {
        associations.push({ place, records, bytes, last, days: days.taken() })
        if (source) options.source?.(place, source)
      },
    },
  )
  const receipts = kept.expected.length
  const known = new Set(kept.expected.map(({ place }) => placeName(place)))
  return {
    checked_at: now.toISOString(),
    version: options.version,
    seconds: (performance.now() - start) / 1000,
    totals,
    findings,
    verdict: counts.verdict(totals.withoutReceipt === 0),
    compared_with: kept.sources,
    not_checked: [
      ...omissions(totals, { receipts, chainOnly: false, modesChecked: true }),
      ...unseen(options.outside, options.stamps.files.length),
    ],
    cannot_be_checked: beyond,
    stamps_not_checked: options.stamps,
    associations: associations.map((each) => ({
      ...each,
      verdict: verdictOf(each.place, findings, known.has(placeName(each.place))),
    })),
    files: tree.files,
  }
}

/** The verdict about one association, from the findings in its directory. */
function verdictOf(place: Place, findings: readonly Finding[], isVouchedFor: boolean): Verdict {
  const counts = new Counts()
  for (const finding of findings) if (finding.path.startsWith(`${placeName(place)}/`)) counts.add(finding)
  return counts.verdict(isVouchedFor)
}

/** Names what the page could not check, because a browser does not show it. */
function unseen(outside: number, stamps: number): string[] {
  const found = [
    'links, modes and owners of files, and empty folders: a browser does not show them to a page (the tool looks at them)',
  ]
  if (outside > 0)
    found.push(
      `${outside} opened ${outside === 1 ? 'file' : 'files'} outside of the data directory: ${outside === 1 ? 'it was' : 'they were'} not looked at`,
    )
  if (stamps > 0)
    found.push(
      `${counted(stamps, 'time stamp')} beside the data: this page cannot check them, and the tool can`,
    )
  return found
}

class Days {
  #counts = new Map<string, number>()

  see({ received_at }: Link): void {
    const day = received_at.slice(0, 10)
    this.#counts.set(day, (this.#counts.get(day) ?? 0) + 1)
  }

  taken(): [string, number][] {
    const days = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1))
    this.#counts = new Map()
    return days
  }
}
