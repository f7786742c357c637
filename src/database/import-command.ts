/** The command `import`. */
import { CannotRun, type Command, type Io } from '../cli/io.ts'
import { parse } from '../cli/options.ts'
import { counted } from '../cli/print.ts'
import { Connection } from '../storage/postgres/connection.ts'
import { unfit } from '../storage/postgres/facts.ts'
import { type Host, readUrl } from '../storage/postgres/url.ts'
import { importTree } from './import.ts'
import { DatabaseRefused } from './refused.ts'

const help = `database import DIR --owner URL [--help]

Moves a data directory of files into an empty database: each record with its receipt, its place and its very bytes. \`verify\`
looks at the directory first, and what it finds is refused. Stop the receiver that stores there before, and never start it
on these files again: two sets of records would grow from one.

The whole or nothing: until it has come to its end, receivers are refused by the database, and the next import begins anew.
To give it up instead, as the superuser: DROP SCHEMA civic CASCADE, and then \`database prepare\`.

  DIR          the data directory
  --owner URL  a superuser's, on the database, as for \`database prepare\`
  --help       this text

Exit: 0 all of it is in the database, 1 refused, 2 could not run, or broken off.
`

export const importCommand: Command = {
  summary: 'moves a data directory of files into an empty database',
  help,
  run: async (args, io) => {
    const options = parse(args, { owner: { type: 'string' } }, 1)
    const [directory] = options.positionals
    const owner = options.text('owner')
    if (directory === undefined || !owner)
      throw new CannotRun('say: import DIR --owner URL (--help explains)')
    const target = readUrl('--owner', owner)
    const connection = await Connection.open(target, target.hosts[0] as Host)
    try {
      const reason = unfit(connection.facts)
      if (reason !== undefined) throw new DatabaseRefused(`the database cannot be used: ${reason}`)
      await tell(await importTree(connection, directory, io), io)
      return 0
    } finally {
      connection.destroy()
    }
  },
}

async function tell(done: Awaited<ReturnType<typeof importTree>>, io: Io): Promise<void> {
  const { associations, records, files, wasBrokenOff, torn } = done
  const lines = [
    `Imported: ${counted(associations, 'association')} with ${counted(records, 'record')}, and ${counted(files, 'file')} of records without history. Receivers may store.`,
  ]
  if (wasBrokenOff) lines.push('What an earlier import had left was removed first.')
  if (torn > 0)
    lines.push(
      `${counted(torn, 'file')} of what recoveries had cut off (records.json.torn-…) stay in the directory: keep it.`,
    )
  await io.out(`${lines.join('\n')}\n`)
}
