/** `npm run database`, `npm run import`, `npm run mirror`: see `--help` and deploy/SCALE.md. */

// No debugger may open, because `mirror --follow` runs for long and holds a password.
import '../src/server/no-debugger.ts'
import { runProcess } from '../src/cli/io.ts'
import { runDatabase } from '../src/database/cli.ts'

runProcess(runDatabase)
