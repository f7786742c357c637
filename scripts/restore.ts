/** `npm run restore`: see `--help`, and deploy/OPERATORS.md. */
import { runRestore } from '../src/backup/cli.ts'
import { runProcess } from '../src/cli/io.ts'

runProcess(runRestore)
