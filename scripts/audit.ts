/** `npm run audit -- <command>`: the auditor's tool (deploy/AUDITORS.md). */
import { run } from '../src/audit/cli.ts'
import { processIo } from '../src/audit/io.ts'

// `audit list | head` closes the pipe early; that is no failure
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 2))

process.exitCode = await run(process.argv.slice(2), processIo(process.stdout, process.stderr))
