/** `npm run backup`: see `--help`, and deploy/OPERATORS.md. */
import { processIo } from '../src/audit/io.ts'
import { runBackup } from '../src/backup/cli.ts'

runBackup(process.argv.slice(2), processIo(process.stdout, process.stderr, undefined)).then(
  (exit) => {
    process.exitCode = exit
  },
  (error: unknown) => {
    console.error(error)
    process.exitCode = 2
  },
)
