/**
 * `heads` prints one line for each association, to be published or printed. Such a line, kept elsewhere, proves a later
 * rewriting.
 */
import type { Command, Exit, Io } from '../cli/io.ts'
import { type Parsed, parse } from '../cli/options.ts'
import { plain } from '../cli/plain.ts'
import { printer } from '../cli/print.ts'
import { recordsName } from '../records/layout.ts'
import { placeName } from './addons.ts'
import { headsComment } from './g1/anchor.ts'
import { dataRoot } from './read.ts'
import { type Directory, whyUnread } from './verify/directory.ts'
import { diskDirectory } from './verify/disk-directory.ts'
import type { Finding } from './verify/finding.ts'
import { type Judge, type Tally, verifyAssociation } from './verify/in-directory.ts'
import { startJudges } from './verify/judges.ts'
import { Payments } from './verify/same.ts'
import { type AppendOnly, readTree } from './verify/tree.ts'

const help = `node scripts/audit.mjs heads [--data DIR] [--json] [--digest] > heads-of-today.txt

One line for each association, sorted: ADDON/SLUG:SEQUENCE:SHA256 of its last record. Publish it, print it, give it to
somebody else: "verify --heads FILE" then proves that everything up to these records is still there and unaltered.

--digest adds a last line, "# heads:" and 64 hexadecimal digits: the comment of a transfer of one Ğ1 that anchors all of them on the
chain. Keep the file; "verify --heads FILE --rpc URL --anchored TIME" then shows since when these heads exist.

Each association is verified first, as by "verify". One that is not whole, or of which it cannot be told, gets no line: a head
of altered records would vouch for them. The exit status is then 1; run verify. Where nothing is, the exit status is 2.`

export const heads: Command = {
  summary: 'one line for each association, to publish or print; verify --heads compares later',
  help,
  run: async (args, io) => {
    const options = parse(args, { digest: { type: 'boolean' } })
    return printHeads(dataRoot(options.data), options, io)
  },
}

async function printHeads(root: string, options: Parsed, io: Io): Promise<Exit> {
  const print = printer(io, options.json)
  const inTheWay: Finding[] = []
  const directory = diskDirectory(root)
  const { associations, bytes } = await readTree(directory, {
    report: (finding) => void inTheWay.push(finding),
    checkModes: false,
    now: Date.now(),
  })
  await using judges = startJudges(root, io.program, bytes)
  const lines: { readonly text: string; readonly head: object }[] = []
  let unsound = 0
  for (const association of associations) {
    const { findings, last } = await verified(directory, association, judges.judge)
    const { addon, slug } = association.place
    if (findings > 0) {
      unsound++
      io.err(
        `audit: ${placeName(association.place)}/${recordsName} is not whole, or it cannot be told; run verify\n`,
      )
    } else if (last && last.sequence > 0)
      lines.push({
        text: `${placeName(association.place)}:${last.sequence}:${last.sha256}`,
        head: { addon, association_slug: slug, sequence: last.sequence, record_sha256: last.sha256 },
      })
  }
  lines.sort((a, b) => (a.text < b.text ? -1 : 1))
  for (const { text, head } of lines) {
    await print.say(text)
    await print.give('head', head)
  }
  if (options.flag('digest') && lines.length > 0) {
    const comment = headsComment(lines.map(({ text }) => text))
    await print.say(`# ${comment}`)
    await print.give('digest', { comment })
  }
  return ended(lines.length, unsound, inTheWay, io)
}

/** The exit status. Links, removed records files and other things in the place of one get no line, and each is named. */
function ended(lines: number, unsound: number, inTheWay: readonly Finding[], io: Io): Exit {
  const inPlace = (path: string): boolean => path.endsWith(`/${recordsName}`)
  const serious = inTheWay.filter(
    ({ level, kind, path }) => level === 'finding' && (kind !== 'foreign' || inPlace(path)),
  )
  for (const { path, what } of serious) io.err(`audit: ${plain(path)}: ${what}; run verify\n`)
  if (lines === 0 && unsound === 0 && serious.length === 0) {
    io.err('audit: there is no record in this directory, so there is no head\n')
    return 2
  }
  return unsound > 0 || serious.length > 0 ? 1 : 0
}

type CheckedHead = { readonly findings: number; readonly last: Tally['last'] }

async function verified(
  directory: Directory,
  { place, torn }: AppendOnly,
  judge: Judge,
): Promise<CheckedHead> {
  let findings = 0
  const report = ({ level }: Finding): void => {
    if (level === 'finding') findings++
  }
  const how = { judge, payments: new Payments(), report, progress: () => {} }
  try {
    const { last } = await verifyAssociation({ directory, place, torn, expected: [] }, how)
    return { findings, last }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
    report({
      level: 'finding',
      kind: 'unreadable',
      path: placeName(place),
      what: whyUnread(error),
      meaning: '',
    })
    return { findings, last: undefined }
  }
}
