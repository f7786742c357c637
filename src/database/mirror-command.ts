/** The command `mirror`, for a terminal, and with `--follow` for a service. */
import { setTimeout as sleep } from 'node:timers/promises'
import { contracts } from '../../contracts/index.ts'
import { CannotRun, type Command, type Exit, type Io } from '../cli/io.ts'
import { dataDirectory, parse } from '../cli/options.ts'
import { plain } from '../cli/plain.ts'
import { counted } from '../cli/print.ts'
import { umask } from '../records/layout.ts'
import { holdsRecords, makeDataDirectory, markDirectory, readMark } from '../storage/files/mark.ts'
import { namesIn } from '../storage/files/names.ts'
import type { Connection } from '../storage/postgres/connection.ts'
import { connectToRead, isPassing } from '../storage/postgres/reading.ts'
import { type DatabaseTarget, readUrl } from '../storage/postgres/url.ts'
import { Mirror } from './mirror.ts'
import { checkTree } from './mirror-check.ts'
import { DatabaseRefused } from './refused.ts'

const help = `mirror DIR [--follow | --check] [--help]

Writes the records of the database into DIR, as a receiver without a database would have written them: the tree that the audit
tool, the recipes and the backup take. Run again it adds what is new. DATABASE_URL in the environment names the database; a
standby will do, and a role that may only read (database prepare --reader). No receiver stores in DIR.

Where the last record of an association in DIR is not in the database, its tree is left alone and named.

  --follow  goes on until SIGTERM or SIGINT, looks each second, and waits for a database that is away
  --check   writes nothing, and compares every line and every file
  --help    this text

Exit: 0 done, 1 something is named, 2 could not run.
`

const lookMs = 1_000
const awayMs = 2_000

export const mirrorCommand: Command = {
  summary: 'writes the records of the database into a tree of files, for auditors and backups',
  help,
  run: async (args, io) => {
    const options = parse(args, { follow: { type: 'boolean' }, check: { type: 'boolean' } }, 1)
    const [directory] = options.positionals
    if (directory === undefined || (options.flag('follow') && options.flag('check')))
      throw new CannotRun('say: mirror DIR, with --follow or --check or neither (--help explains)')
    const url = process.env.DATABASE_URL
    if (!url) throw new CannotRun('DATABASE_URL is not set: it names the database')
    const target = readUrl('DATABASE_URL', url)
    if (options.flag('check')) return check(dataDirectory(directory), target, io)
    // records are readable for the owner and the auditors' group, whatever umask this was started with
    process.umask(umask)
    await prepareDirectory(directory)
    return options.flag('follow') ? follow(directory, target, io) : once(directory, target, io)
  },
}

/** Refuses a directory that holds something else, because it was probably named by mistake. */
async function prepareDirectory(directory: string): Promise<void> {
  await makeDataDirectory(directory)
  if (readMark(directory) === undefined && !holdsRecords(directory, contracts.keys())) {
    if ((await namesIn(directory)).length > 0)
      throw new DatabaseRefused('the directory holds something else than records; name one that is empty')
  }
  await markDirectory(directory)
}

async function connected(target: DatabaseTarget): Promise<Connection> {
  const connection = await connectToRead(target)
  if ('facts' in connection) return connection
  throw new CannotRun(`no server can be read from: ${connection.join('; ')}`)
}

async function check(directory: string, target: DatabaseTarget, io: Io): Promise<Exit> {
  const connection = await connected(target)
  try {
    const { records, files, behind, findings } = await checkTree(directory, connection)
    for (const finding of findings) await io.out(`FINDING ${plain(finding)}\n`)
    const compared = `${counted(records, 'record')} and ${counted(files, 'file')} were compared`
    await io.out(`${compared}; ${counted(findings.length, 'finding')}; ${behind} not yet in the tree.\n`)
    return findings.length > 0 ? 1 : 0
  } finally {
    connection.destroy()
  }
}

async function once(directory: string, target: DatabaseTarget, io: Io): Promise<Exit> {
  const connection = await connected(target)
  try {
    const { records, files, complaints } = await new Mirror(directory, io).pass(connection)
    for (const complaint of complaints) io.err(`mirror: ${plain(complaint)}\n`)
    await io.out(`${counted(records, 'record')} and ${counted(files, 'file')} were written.\n`)
    return complaints.length > 0 ? 1 : 0
  } finally {
    connection.destroy()
  }
}

async function follow(directory: string, target: DatabaseTarget, io: Io): Promise<Exit> {
  const stopping = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort())
  const mirror = new Mirror(directory, io)
  let connection: Connection | undefined
  let told: readonly string[] = []
  const tell = (complaints: readonly string[]): void => {
    for (const complaint of complaints) if (!told.includes(complaint)) io.err(`mirror: ${plain(complaint)}\n`)
    told = complaints
  }
  while (!stopping.signal.aborted) {
    try {
      connection ??= await connected(target)
      const { records, files, complaints } = await mirror.pass(connection)
      if (records + files > 0)
        await io.out(`${counted(records, 'record')} and ${counted(files, 'file')} were written.\n`)
      tell(complaints)
      await sleep(lookMs, undefined, { signal: stopping.signal })
    } catch (error) {
      if (stopping.signal.aborted) break
      if (!(error instanceof CannotRun) && !isPassing(error)) throw error
      tell([error instanceof CannotRun ? error.message : 'the connection to the database was lost'])
      connection?.destroy()
      connection = undefined
      await sleep(awayMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }
  connection?.destroy()
  return told.length > 0 ? 1 : 0
}
