/** Verifies a whole data directory, for the tool and for the page. Findings are reported in the order in which they are met. */
import { hasCode } from '../../error-code.ts'
import { markName, recordsName } from '../../records/layout.ts'
import { longestLine } from '../../records/lines.ts'
import { type Place, placeName } from '../addons.ts'
import type { Link } from './chain.ts'
import { judgeFile } from './content.ts'
import { type Directory, whyUnread } from './directory.ts'
import { byPlace, type Expectation, type Expectations } from './expectations.ts'
import type { Finding, OnFinding } from './finding.ts'
import { type DirectoryRun, type Judge, type Tally, verifyAssociation } from './in-directory.ts'
import { Payments } from './same.ts'
import { vouches } from './stamped.ts'
import type { AppendOnly, OverwriteFile, Tree } from './tree.ts'

export type Totals = {
  associations: number
  records: number
  bytes: number
  files: number
  /** How many associations have records, but no receipt or head from outside. */
  withoutReceipt: number
}

export type Watch = {
  readonly report: OnFinding
  /** `done` of `total` bytes or files; `what` names the work. */
  progress(done: number, total: number, what: string): void
  /** Called, and waited for, after each association and every few hundred files. */
  pause(): Promise<void>
  /** Called with each record that has its place in its chain. */
  record?(place: Place, link: Link): void
  /** Called when the records of an association were read. */
  association?(place: Place, tally: Tally): void
}

export type Wanted = {
  readonly expected: readonly Expectation[]
  /** Undefined: only chains are followed. */
  readonly judge: Judge | undefined
}

/** So many files are read at once, because in a browser each reading waits for a long time. */
const filesAtOnce = 32

export async function verifyTree(
  directory: Directory,
  tree: Tree,
  { expected, judge }: Wanted,
  watch: Watch,
): Promise<Totals> {
  const { report } = watch
  const known = byPlace(expected)
  const payments = new Payments()
  const totals: Totals = { associations: 0, records: 0, bytes: 0, files: 0, withoutReceipt: 0 }
  let done = 0
  for (const association of tree.associations) {
    const { place } = association
    const name = placeName(place)
    const progress = (bytes: number): void => {
      done += bytes
      watch.progress(done, tree.bytes, name)
    }
    const record = (link: Link): void => watch.record?.(place, link)
    const how = { judge, payments, report, progress, record }
    const tally = await verifyOne(directory, association, known, how)
    totals.associations++
    totals.records += tally.records
    totals.bytes += tally.bytes
    if (!known.get(name)?.some(vouches) && tally.records > 0) {
      totals.withoutReceipt++
      if (known.size > 0 && !known.has(name)) report(withoutReceipt(place))
    }
    watch.association?.(place, tally)
    await watch.pause()
  }
  for (let at = 0; at < tree.files.length; at += filesAtOnce) {
    const files = tree.files.slice(at, at + filesAtOnce)
    if (judge)
      for (const found of await Promise.all(files.map((file) => verifyFile(directory, file))))
        if (found) report(found)
    totals.files += files.length
    watch.progress(totals.files, tree.files.length, files[0]!.addon)
    if ((at / filesAtOnce) % 8 === 7) await watch.pause()
  }
  absent(known, tree, report)
  await nothing(directory, tree, report)
  return totals
}

async function verifyOne(
  directory: Directory,
  { place, torn }: AppendOnly,
  known: Expectations,
  how: DirectoryRun,
): Promise<Tally> {
  try {
    return await verifyAssociation(
      { directory, place, torn, expected: known.get(placeName(place)) ?? [] },
      how,
    )
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'ENOENT', 'ENOTREGULAR', 'ECHANGED')) throw error
    how.report({
      level: 'finding',
      kind: 'unreadable',
      path: `${placeName(place)}/${recordsName}`,
      what: whyUnread(error),
      meaning: 'It was not checked.',
    })
    return { records: 0, bytes: 0, last: undefined }
  }
}

function withoutReceipt(place: Place): Finding {
  return {
    level: 'note',
    kind: 'no receipt',
    path: `${placeName(place)}/${recordsName}`,
    what: 'no receipt and no head was given for this association',
    meaning: 'Nothing from outside vouches for it. Whoever can write the file could have made it anew.',
  }
}

async function verifyFile(directory: Directory, file: OverwriteFile): Promise<Finding | undefined> {
  const complaints = await complaintsAbout(directory, file)
  if (complaints.length === 0) return undefined
  return {
    level: 'finding',
    kind: 'contract',
    path: file.path,
    what: complaints.join('; '),
    meaning: 'The receiver does not store this, so another program wrote it.',
  }
}

const tooLarge = 'is larger than anything the receiver takes, and was not read'

/** The complaints about one file; none when a receiver removed the file since its name was read. */
async function complaintsAbout(
  directory: Directory,
  { addon, slug, name, path, size }: OverwriteFile,
): Promise<string[]> {
  if (size > longestLine) return [tooLarge]
  try {
    return judgeFile(await directory.read(path, longestLine), { addon, slug }, name)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    if (hasCode(error, 'EACCES', 'ENOTREGULAR', 'ECHANGED')) return [whyUnread(error)]
    if (hasCode(error, 'EFBIG')) return [tooLarge]
    throw error
  }
}

/** Reports associations of which receipts were given and that are not in the directory. */
function absent(known: Expectations, { associations }: Tree, report: OnFinding): void {
  const here = new Set(associations.map(({ place }) => placeName(place)))
  for (const [name, expected] of known) {
    const last = expected.reduce((highest, { sequence }) => Math.max(highest, sequence), 0)
    if (here.has(name) || last === 0) continue
    report({
      level: 'finding',
      kind: 'shortened',
      path: `${name}/${recordsName}`,
      record: last,
      what: `there is no such file, and ${expected[0]!.source} names record ${last}`,
      meaning: 'All records of this association were removed, or this is another data directory.',
    })
  }
}

/** Reports a directory without a record, because an answer about nothing must not look clean. */
async function nothing(
  directory: Directory,
  { associations, files }: Tree,
  report: OnFinding,
): Promise<void> {
  if (associations.length > 0 || files.length > 0) return
  const isMarked = (await directory.state(markName)) !== undefined
  report({
    level: isMarked ? 'note' : 'finding',
    kind: 'nothing here',
    path: '.',
    what: 'there is no record in this directory',
    meaning: isMarked
      ? 'It bears the mark of a receiver, so it is a data directory in which nothing was stored yet, or from which all was removed.'
      : 'It does not bear the mark of a receiver either. Is it the data directory? Or was everything removed?',
  })
}
