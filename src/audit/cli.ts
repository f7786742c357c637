/** Runs one command of the auditor's tool. All commands only read and take no lock. */

import { CannotRun, type Command, type Exit, type Io } from '../cli/io.ts'
import { plain } from '../cli/plain.ts'
import { changes } from './changes.ts'
import { exportCsv } from './export.ts'
import { g1 } from './g1/command.ts'
import { heads } from './heads.ts'
import { list } from './list.ts'
import { show } from './show.ts'
import { snapshot } from './snapshot.ts'
import { verify } from './verify/command.ts'

const commands = new Map<string, Command>([
  ['verify', verify],
  ['heads', heads],
  ['list', list],
  ['show', show],
  ['changes', changes],
  ['snapshot', snapshot],
  ['export', exportCsv],
  ['g1', g1],
])

const usage = (): string => `node scripts/audit.mjs <command> [--data DIR] [--json] [--help]

Reads the JSON files of a data directory, or a copy of one, without a receiver. Changes nothing, takes no lock, and may
run while a receiver is appending.

${[...commands].map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`).join('\n')}

  --data DIR  the data directory (default: DATA_DIR from the environment, else ./data)
  --json      JSON Lines: one object a line, each with a "type"
  --help      after a command: its options

Exit: 0 clean, 1 findings, 2 could not run.
`

export async function run(args: readonly string[], io: Io): Promise<Exit> {
  const [name, ...rest] = args
  const command = commands.get(name ?? '')
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    await io.out(usage())
    return name === undefined ? 2 : 0
  }
  if (!command) return refused(`there is no command "${name}"`, io)
  if (rest.includes('--help') || rest.includes('-h')) {
    await io.out(`${command.help}\n`)
    return 0
  }
  try {
    return await command.run(rest, io)
  } catch (error) {
    if (error instanceof CannotRun) return refused(error.message, io)
    if (typeof (error as NodeJS.ErrnoException).code === 'string')
      return refused((error as Error).message, io)
    throw error
  }
}

function refused(reason: string, io: Io): Exit {
  io.err(`audit: ${plain(reason)}\n`)
  return 2
}
