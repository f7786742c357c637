/** `npm run backup`: see `--help`, and deploy/OPERATORS.md. */
import { runBackup } from '../src/backup/cli.ts'
import { runProcess } from '../src/cli/io.ts'

runProcess(runBackup)
