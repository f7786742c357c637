/** The command `verify`: checks whether every file is whole, and whether anything was altered. */
import { CannotRun, type Command, type Exit, type Io } from '../../cli/io.ts'
import { dataDirectory, type Parsed, parse } from '../../cli/options.ts'
import { printer } from '../../cli/print.ts'
import { progressOn } from '../../cli/progress.ts'
import { checkAnchor } from '../g1/anchor.ts'
import { diskDirectory } from './disk-directory.ts'
import { Findings } from './findings.ts'
import { startJudges } from './judges.ts'
import { type KeptFiles, keptFrom, withStamps } from './kept.ts'
import { type Stamps, stampsIn } from './stamps.ts'
import { summarise } from './summary.ts'
import { readTree } from './tree.ts'
import { verifyTree } from './whole.ts'

const help = `node scripts/audit.mjs verify [--data DIR] [--json] [--chain] [--copy]
    [--expect ADDON/SLUG:SEQUENCE:SHA256]… [--receipts FILE]… [--heads FILE]… [--stamps DIR [--authority FILE]…]

Looks at every file below the data directory. By default everything is checked:
  names         permitted paths only; links, foreign files, leftovers, modes
  each record   strict JSON, the contract, the place it is in, the normal form, its id computed anew
  each chain    every record holds the SHA-256 of the one before it; sequence; times in order; the head file
  --chain       only names and chains, and the contents of records beside a fault: many times faster,
                for large directories. It does not see a record whose content breaks the contract
                while its chain is whole
  --copy        modes are not looked at. (A copy in which every mode differs is recognised without it)
  --expect …    that record of that association must have that SHA-256: a receipt that somebody kept
                (SLUG:… means scn01)
  --receipts F  the same from a file: one a line, as in --expect or as the receiver answered (JSON)
  --heads F     the same from an earlier output of "heads", or from the text of a post or a mail that has one
                in it, as it is copied
  --stamps DIR  the same from heads that time-stamping authorities stamped (RFC 3161; deploy/witness keeps them so):
                when each head existed, which records it covers, which came after. Needs openssl
  --authority F the certificate of such an authority, which you got from itself. A stamp under no such certificate
                shows what was altered, but vouches for nothing: anybody can make an authority

  --extrinsic H with one --heads: whether the comment of these bytes names exactly these heads ("heads --digest")
  --rpc URL     with one --heads: whether a finalized block of Ğ1 holds that comment, hence when these heads
                existed; the endpoint is trusted. --anchored TIME says when the transfer was made, within an hour

Without --expect, --receipts or --heads nothing can be said against an operator who rewrites a whole file or cuts
its end and makes chain and head file anew. With one of them from outside, everything up to that record is fixed.
The last lines of each run say what was checked, with what, what was not and what nobody can know from these files.

Correct while a receiver is appending. Memory does not grow with the size of the records, but for about 40 bytes
a record (none with --chain) and 150 a payment.

The result is one of three. WHOLE: nothing was found, and a receipt or a head from outside names the last record of every
association. NOT AS IT WAS LEFT. CANNOT BE TOLD: nothing was found that is altered, and nothing vouches for all of it.

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
      stamps: { type: 'string' },
      authority: { type: 'string', multiple: true },
      extrinsic: { type: 'string' },
      rpc: { type: 'string' },
      anchored: { type: 'string' },
    })
    const root = dataDirectory(options.data)
    const kept = keptFrom(options)
    const anchor = await checkAnchor(options, kept.heads, io)
    const exit = await verifyAll(root, kept, await stampsOf(options), options, io)
    return exit === 0 ? (anchor ?? 0) : exit
  },
}

async function stampsOf(options: Parsed): Promise<Stamps | undefined> {
  const [directory, authorities] = [options.text('stamps'), options.texts('authority')]
  if (directory === undefined && authorities.length > 0)
    throw new CannotRun('--authority says whose stamps count: name their directory with --stamps')
  return directory === undefined ? undefined : stampsIn(directory, authorities)
}

async function verifyAll(
  root: string,
  files: KeptFiles,
  stamps: Stamps | undefined,
  options: Parsed,
  io: Io,
): Promise<Exit> {
  const kept = stamps ? withStamps(files, stamps, options.text('stamps') as string) : files
  const print = printer(io, options.json)
  const progress = progressOn(io)
  const findings = new Findings(print, io, () => progress.clear())
  const { report } = findings
  for (const finding of stamps?.findings ?? []) report(finding)
  const [began, start] = [new Date(), performance.now()]
  const chainOnly = options.flag('chain')
  const directory = diskDirectory(root)
  const tree = await readTree(directory, { report, checkModes: !options.flag('copy'), now: Date.now() })
  await using judges = startJudges(root, io.program, tree.bytes)
  const wanted = { expected: kept.expected, judge: chainOnly ? undefined : judges.judge }
  const totals = await verifyTree(directory, tree, wanted, {
    report,
    progress: progress.show,
    pause: () => findings.flush(),
  })
  progress.clear()
  await findings.flush()
  const run = {
    root,
    began,
    seconds: (performance.now() - start) / 1000,
    kept,
    chainOnly,
    modesChecked: !options.flag('copy'),
  }
  await summarise(totals, run, findings, print)
  return findings.counts.found > 0 ? 1 : 0
}
