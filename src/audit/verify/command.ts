/** `verify`: is everything here whole, is anything altered? */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Exit, Io } from '../io.ts'
import { dataDirectory, type Parsed, parse } from '../options.ts'
import { plain } from '../plain.ts'
import { aligned, counted, type Printer, printer, wrapped } from '../print.ts'
import { progressOn } from '../progress.ts'
import { type Tally, verifyAssociation } from './association.ts'
import { judgeFile } from './content.ts'
import { bySlug, type Expectation, type Expectations, expectation, expectationsIn } from './expectations.ts'
import type { Finding, Report } from './finding.ts'
import { startJudges } from './judges.ts'
import { type OverwriteFile, readTree } from './tree.ts'

const help = `npm run audit -- verify [--data DIR] [--json] [--chain] [--copy]
    [--expect SLUG:SEQUENCE:SHA256]… [--receipts FILE]… [--heads FILE]…

Looks at every file below the data directory. By default everything is checked:
  names         permitted paths only; links, foreign files, leftovers, modes
  each record   strict JSON, the contract, the place it is in, the normal form, its id computed anew
  each chain    every record holds the SHA-256 of the one before it; sequence; the head file
  --chain       only names and chains, and the contents of records beside a fault: many times faster,
                for large directories. It does not see a record whose content breaks the contract
                while its chain is whole
  --copy        this is a copy: modes are not looked at
  --expect …    that record of that association must have that SHA-256: a receipt that somebody kept
  --receipts F  the same from a file: SLUG:SEQUENCE:SHA256 a line, or the receiver's answers as JSON, one a line
  --heads F     the same from an earlier output of "heads"

Without --expect, --receipts or --heads nothing can be said against an operator who rewrites a whole file or cuts
its end and makes chain and head file anew. With one of them from outside, everything up to that record is fixed.

Correct while a receiver is appending. Memory does not grow with the size of the records, but for about 40 bytes
a record (none with --chain).

Exit: 0 nothing found (notes do not count), 1 findings, 2 could not run.`

export const verify: Command = {
  summary: 'is every file whole, is anything altered; against receipts and heads that others kept',
  help,
  run: async (args, io) => {
    const options = parse(args, {
      chain: { type: 'boolean' },
      copy: { type: 'boolean' },
      expect: { type: 'string', multiple: true },
      receipts: { type: 'string', multiple: true },
      heads: { type: 'string', multiple: true },
    })
    return verifyAll(dataDirectory(options.data), expected(options), options, io)
  },
}

function expected(options: Parsed): Expectation[] {
  const inFiles = [...options.texts('receipts'), ...options.texts('heads')].flatMap(expectationsIn)
  return [...options.texts('expect').map((text) => expectation(text, '--expect')), ...inFiles]
}

async function verifyAll(root: string, kept: readonly Expectation[], options: Parsed, io: Io): Promise<Exit> {
  const print = printer(io, options.json)
  const progress = progressOn(io)
  const findings = new Findings(print, io, () => progress.clear())
  const began = performance.now()
  const tree = readTree(root, { report: findings.report, checkModes: !options.flag('copy'), now: Date.now() })
  const known = bySlug(kept)
  let done = 0
  const totals = { associations: 0, records: 0, bytes: 0, files: 0 }
  await using judges = startJudges(io.program, tree.bytes)
  for (const slug of tree.associations) {
    const how = {
      judges: options.flag('chain') ? undefined : judges,
      report: findings.report,
      progress: (bytes: number) => {
        done += bytes
        progress.show(done, tree.bytes, `scn01/${slug}`)
      },
    }
    const tally = await verifyOne(root, slug, known, how)
    totals.associations++
    totals.records += tally.records
    totals.bytes += tally.bytes
    await findings.flush()
  }
  for (const file of tree.files) {
    if (!options.flag('chain')) verifyFile(root, file, findings.report)
    progress.show(++totals.files, tree.files.length, file.addon)
    if (totals.files % 256 === 0) await findings.flush()
  }
  absent(known, tree.associations, findings.report)
  progress.clear()
  await findings.flush()
  await summary(
    { ...totals, seconds: (performance.now() - began) / 1000, receipts: kept.length },
    findings,
    options,
    print,
  )
  return findings.found > 0 ? 1 : 0
}

type How = Parameters<typeof verifyAssociation>[1]

async function verifyOne(root: string, slug: string, known: Expectations, how: How): Promise<Tally> {
  try {
    return await verifyAssociation({ root, slug, expected: known.get(slug) ?? [] }, how)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EACCES' && code !== 'ENOENT') throw error
    how.report(unreadable(`scn01/${slug}/records.json`, code))
    return { records: 0, bytes: 0 }
  }
}

function unreadable(path: string, code: string): Finding {
  const what = code === 'EACCES' ? 'cannot be opened by this user' : 'went away while it was read'
  return { level: 'finding', kind: 'unreadable', path, what, meaning: 'It was not checked.' }
}

function verifyFile(root: string, { addon, slug, name, path, size }: OverwriteFile, report: Report): void {
  const complaints =
    size > largestFile
      ? ['is larger than anything the receiver takes, and was not read']
      : judged(() => judgeFile(readFileSync(join(root, path)), { addon, slug }, name))
  if (complaints.length === 0) return
  const meaning = 'The receiver does not store this, so another program wrote it.'
  report({ level: 'finding', kind: 'contract', path, what: complaints.join('; '), meaning })
}

/** MAX_BODY_BYTES is 1 MiB unless the operator says otherwise; indentation adds to it. */
const largestFile = 64 * 1024 * 1024

function judged(judge: () => string[]): string[] {
  try {
    return judge()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    if (code === 'EACCES') return ['cannot be opened by this user']
    throw error
  }
}

/** Associations that others hold receipts of and that are not here at all. */
function absent(known: Expectations, slugs: readonly string[], report: Report): void {
  for (const [slug, expected] of known) {
    const last = Math.max(...expected.map(({ sequence }) => sequence))
    if (slugs.includes(slug) || last === 0) continue
    report({
      level: 'finding',
      kind: 'shortened',
      path: `scn01/${slug}/records.json`,
      record: last,
      what: `there is no such file, and ${expected[0]!.source} names record ${last}`,
      meaning: 'All records of this association were removed, or this is another data directory.',
    })
  }
}

/** Prints findings as they come; of the same kind of thing about paths, the first few. */
class Findings {
  readonly #print: Printer
  readonly #io: Io
  readonly #before: () => void
  readonly #waiting: Finding[] = []
  readonly #perKind = new Map<string, number>()
  found = 0
  notes = 0

  constructor(print: Printer, io: Io, before: () => void) {
    this.#print = print
    this.#io = io
    this.#before = before
  }

  readonly report: Report = (finding) => {
    if (finding.level === 'finding') this.found++
    else this.notes++
    this.#waiting.push(finding)
  }

  async flush(): Promise<void> {
    if (this.#waiting.length > 0) this.#before()
    for (const finding of this.#waiting.splice(0)) {
      await this.#print.give(finding.level, { ...finding, level: undefined })
      if (this.#isNews(finding)) await this.#print.say(this.#text(finding))
    }
  }

  /** How many of each kind were not printed. */
  get unsaid(): [kind: string, count: number][] {
    return [...this.#perKind]
      .filter(([, count]) => count > mostOfAKind)
      .map(([kind, count]) => [kind, count - mostOfAKind])
  }

  #isNews({ kind }: Finding): boolean {
    const count = (this.#perKind.get(kind) ?? 0) + 1
    this.#perKind.set(kind, count)
    return count <= mostOfAKind
  }

  #text({ level, path, record, line, what, meaning }: Finding): string {
    const place = [
      record === undefined ? undefined : `record ${record}`,
      line === undefined ? undefined : `line ${line}`,
    ].filter(Boolean)
    const title = `${level === 'finding' ? 'FINDING' : 'note   '} ${[plain(path), ...place].join(', ')}`
    const rows = [...wrapped(what, this.#io.columns - 8), ...wrapped(meaning, this.#io.columns - 8)]
    return [title, ...rows.map((row) => `        ${row}`)].join('\n')
  }
}

const mostOfAKind = 20

type Totals = Tally & { associations: number; files: number; seconds: number; receipts: number }

async function summary(totals: Totals, findings: Findings, options: Parsed, print: Printer): Promise<void> {
  const { found, notes } = findings
  await print.give('summary', { ...totals, findings: found, notes, chain_only: options.flag('chain') })
  for (const [kind, count] of findings.unsaid)
    await print.say(`… and ${count} more of the kind "${kind}" (--json lists all)`)
  const rate = totals.bytes / 1e6 / totals.seconds
  const rows: [string, string | undefined][] = [
    [
      'scn01',
      `${counted(totals.associations, 'association')}, ${counted(totals.records, 'record')}, ${(totals.bytes / 1e6).toFixed(1)} MB`,
    ],
    ['vs01, dsc01', `${counted(totals.files, 'file')}${options.flag('chain') ? ', only their names' : ''}`],
    [
      'receipts',
      totals.receipts > 0
        ? `${counted(totals.receipts, 'kept receipt')} compared`
        : 'none given: a rewritten or shortened file would not be seen',
    ],
    ['checked', options.flag('chain') ? 'names and chains only (--chain)' : 'everything'],
    ['time', `${totals.seconds.toFixed(1)} s${totals.seconds > 1 ? `, ${rate.toFixed(0)} MB/s` : ''}`],
    ['result', `${counted(found, 'finding')}, ${counted(notes, 'note')}`],
  ]
  await print.say(aligned(rows, { columns: 200 }, 0))
}
