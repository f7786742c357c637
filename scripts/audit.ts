/** The auditor's tool (deploy/AUDITORS.md). `audit.mjs` starts it in a checkout; a release holds it as one file. */
import { run } from '../src/audit/cli.ts'
import { judgeArgument, serveJudges } from '../src/audit/verify/judges.ts'
import { runProcess } from '../src/cli/io.ts'

const [, program, first] = process.argv

if (first === judgeArgument) serveJudges()
else audit()

function audit(): void {
  // `audit list | head` closes the pipe early, which is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 2))
  runProcess(run, program)
}
