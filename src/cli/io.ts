/** What a command may use of the process: standard output, standard error, and an error that is printed as a plain sentence. */
import { once } from 'node:events'

/** 0 clean, 1 findings, 2 cannot run. */
export type Exit = 0 | 1 | 2

export type Io = {
  /** Resolves when the stream accepts more, so that a slow reader does not fill the memory. */
  out(text: string | Uint8Array): Promise<void>
  err(text: string): void
  /** Columns of the terminal behind stdout; 100 when there is none. */
  readonly columns: number
  /** Whether stdout is a terminal, which acts on control characters. */
  readonly terminal?: boolean
  /** Whether stderr is a terminal: a progress line is wanted. */
  readonly watched: boolean
  /** The file of this program, to be run in more processes for more than one core; undefined: one process only. */
  readonly program?: string | undefined
}

export type Command = {
  readonly summary: string
  readonly help: string
  run(args: readonly string[], io: Io): Promise<Exit>
}

/** Ends a command with exit status 2. The message is for the person who typed the command. */
export class CannotRun extends Error {
  override readonly name = 'CannotRun'
}

/** Runs a command as the whole process. The exit status is that of the command, or 2 after an unexpected error. */
export function runProcess(run: (args: readonly string[], io: Io) => Promise<Exit>, program?: string): void {
  run(process.argv.slice(2), processIo(program)).then(
    (exit) => {
      process.exitCode = exit
    },
    (error: unknown) => {
      console.error(error)
      process.exitCode = 2
    },
  )
}

export function processIo(program?: string): Io {
  const { stdout, stderr } = process
  return {
    out: async (text) => {
      if (!stdout.write(text)) await once(stdout, 'drain')
    },
    err: (text) => void stderr.write(text),
    terminal: stdout.isTTY === true,
    columns: Math.max(60, stdout.columns ?? 100),
    watched: stderr.isTTY === true,
    program,
  }
}
