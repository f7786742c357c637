/** `npm run restore`: see `--help`, and deploy/OPERATORS.md. */
import { processIo } from '../src/audit/io.ts'
import { runRestore } from '../src/backup/cli.ts'

runRestore(process.argv.slice(2), processIo(process.stdout, process.stderr, undefined)).then(
  (exit) => {
    process.exitCode = exit
  },
  (error: unknown) => {
    console.error(error)
    process.exitCode = 2
  },
)
