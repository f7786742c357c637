/** `npm run restore`: see `--help`, and deploy/OPERATORS.md. */

import { runRestore } from '../src/backup/cli.ts'
import { processIo } from '../src/cli/io.ts'

runRestore(process.argv.slice(2), processIo(process.stdout, process.stderr, undefined)).then(
  (exit) => {
    process.exitCode = exit
  },
  (error: unknown) => {
    console.error(error)
    process.exitCode = 2
  },
)
