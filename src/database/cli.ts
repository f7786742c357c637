/** The commands for a receiver that stores in a database: `prepare`, `import` and `mirror`. */
import { CannotRun, type Command, type Exit, type Io } from '../cli/io.ts'
import { plain } from '../cli/plain.ts'
import { StorageFault } from '../storage/files/fault.ts'
import { Broken, codeOf, NotKnown } from '../storage/postgres/fault.ts'
import { NotPrepared } from '../storage/postgres/prepare.ts'
import { UrlMistakes } from '../storage/postgres/url.ts'
import { importCommand } from './import-command.ts'
import { mirrorCommand } from './mirror-command.ts'
import { prepareCommand } from './prepare-command.ts'
import { DatabaseRefused } from './refused.ts'

const commands = new Map<string, Command>([
  ['prepare', prepareCommand],
  ['import', importCommand],
  ['mirror', mirrorCommand],
])

const usage = (): string => `database <command> [--help]

For receivers that keep their records in a PostgreSQL (DATABASE_URL), see deploy/SCALE.md.

${[...commands].map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}`).join('\n')}

  --help   after a command: its options

Exit: 0 done, 1 refused or something was found, 2 could not run.
`

export async function runDatabase(args: readonly string[], io: Io): Promise<Exit> {
  const [name, ...rest] = args
  const command = commands.get(name ?? '')
  if (name === undefined || name === '--help' || name === '-h') {
    await io.out(usage())
    return name === undefined ? 2 : 0
  }
  if (!command) {
    io.err(`database: there is no command "${plain(name)}" (--help shows them)\n`)
    return 2
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    await io.out(command.help)
    return 0
  }
  try {
    return await command.run(rest, io)
  } catch (error) {
    io.err(`${name}: ${plain(sentenceOf(error))}\n`)
    return error instanceof DatabaseRefused || error instanceof NotPrepared ? 1 : 2
  }
}

/** An error as a sentence. Of an error of the server only its code is shown, because its text may hold parts of a record. */
function sentenceOf(error: unknown): string {
  if (
    error instanceof CannotRun ||
    error instanceof UrlMistakes ||
    error instanceof NotPrepared ||
    error instanceof DatabaseRefused
  )
    return error.message
  if (error instanceof NotKnown) return 'a commit was not waited for by the standby: run it again'
  if (error instanceof Broken) return 'the connection to the database was lost: run it again'
  if (error instanceof StorageFault) return `the directory cannot be written to: ${error.message}`
  // the message is not shown, because it names a file, whose name may be that of a participant
  const { syscall, code } = error as NodeJS.ErrnoException
  if (syscall !== undefined) return `${syscall} failed (${code})`
  return `the database refused (${codeOf(error)})`
}
