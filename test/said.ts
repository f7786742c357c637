/** Runs a command, such as those of the auditor, in the process of the test, and gives its output and exit status. */
import { run as runAudit } from '../src/audit/cli.ts'
import type { Io } from '../src/cli/io.ts'

type Run = (args: readonly string[], io: Io) => Promise<number>

export type Said = {
  readonly exit: number
  readonly out: string
  /** The same output as bytes, for commands that do not write text. */
  readonly bytes: Buffer
  readonly err: string
}

export function said(run: Run, ...args: readonly string[]): Promise<Said> {
  return saidTo({}, run, ...args)
}

/** Runs a command like `said`, with a terminal. */
export async function saidTo(terminal: Partial<Io>, run: Run, ...args: readonly string[]): Promise<Said> {
  const chunks: Buffer[] = []
  let err = ''
  const io: Io = {
    out: async (text) => void chunks.push(Buffer.from(text as Uint8Array)),
    err: (text) => {
      err += text
    },
    columns: 100,
    watched: false,
    ...terminal,
  }
  const exit = await run(args, io)
  const bytes = Buffer.concat(chunks)
  return { exit, out: bytes.toString('utf8'), bytes, err }
}

export function audit(...args: readonly string[]): Promise<Said> {
  return said(runAudit, ...args)
}
