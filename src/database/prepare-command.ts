/** `prepare`: makes the tables of the PostgreSQL store and gives the receiver's role its rights. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CannotRun, type Command } from '../cli/io.ts'
import { parse } from '../cli/options.ts'
import { clientOf } from '../storage/postgres/client.ts'
import { prepare } from '../storage/postgres/prepare.ts'
import { readUrl } from '../storage/postgres/url.ts'

const help = `database prepare --owner URL --role NAME [--reader NAME] [--help]

Makes the tables in an empty database and gives the receivers' role its rights. Run again, it changes nothing but the rights,
which it sets anew: that also ends a pause by REVOKE INSERT.

  --owner URL    a superuser's, on the database, such as postgres://postgres@/civic?host=/var/run/postgresql
  --role NAME    the role that the receivers log in as; made before, with CREATE ROLE … LOGIN
  --reader NAME  a role that may read only, for a mirror on another machine
  --help         this text

Exit: 0 done, 1 refused, 2 could not run.
`

export const prepareCommand: Command = {
  summary: "makes the tables and gives the receivers' role its rights",
  help,
  run: async (args, io) => {
    const text = { type: 'string' } as const
    const options = parse(args, { owner: text, role: text, reader: text })
    const [owner, role] = [options.text('owner'), options.text('role')]
    if (!owner || !role) throw new CannotRun('say: prepare --owner URL --role NAME (--help explains)')
    const client = clientOf(readUrl('--owner', owner))
    await client.connect()
    try {
      const done = await prepare(client, { schema: schema(), role, reader: options.text('reader') })
      await io.out(
        done === 'made'
          ? 'The tables are made, the rights are set.\n'
          : 'The tables were there; the rights are set anew.\n',
      )
      return 0
    } finally {
      await client.end()
    }
  },
}

/** In a release, schema.sql lies beside the program; in the source, beside the store. */
function schema(): string {
  const here = dirname(process.argv[1] as string)
  const beside = join(here, 'schema.sql')
  return readFileSync(existsSync(beside) ? beside : join(here, '../src/storage/postgres/schema.sql'), 'utf8')
}
