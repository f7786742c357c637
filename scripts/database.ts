/** `npm run database`, `npm run import`, `npm run mirror`: see `--help` and deploy/SCALE.md. */

// No debugger may open, because `mirror --follow` runs for long and holds a password.
import '../src/server/no-debugger.ts'
import { processIo } from '../src/cli/io.ts'
import { runDatabase } from '../src/database/cli.ts'

runDatabase(process.argv.slice(2), processIo(process.stdout, process.stderr, undefined)).then(
  (exit) => {
    process.exitCode = exit
  },
  (error: unknown) => {
    console.error(error)
    process.exitCode = 2
  },
)
