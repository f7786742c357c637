/** Writes one JSON line for each event to standard output. No line holds a token, content of an envelope or a participant. */
import pino from 'pino'
import type { Log } from '../log.ts'
import { StandardOutput } from './standard-output.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export type ProcessLog = Log & {
  /** Writes out the last lines, at the end of the process. */
  flush(): void
  /** For the metrics. */
  readonly state: { readonly lostLines: number; readonly waitingBytes: number }
}

/**
 * Logging never waits for the reader of the log. Lines that are still in memory are lost at a kill, and new lines are lost when
 * a reader that stands still leaves no room. `flush` is for the end of the process.
 */
export function createLog(level: LogLevel): ProcessLog {
  const output = new StandardOutput()
  let refused = 0
  let told = 0
  const lost = (): number => refused + output.droppedLines
  const write = (line: string): void => {
    if (!output.hasRoom) {
      refused++
      return
    }
    const lines = lost() - told
    told += lines
    if (lines > 0) logger.warn({ lines }, 'lines of this log are lost: standard output did not take them')
    output.write(line)
  }
  const logger = pino({ level, base: { pid: process.pid }, timestamp: isoTime }, { write })
  const flush = (): void => output.end()
  const state = {
    get lostLines() {
      return lost()
    },
    get waitingBytes() {
      return output.waitingBytes
    },
  }
  return Object.assign(logger, { flush, state }) as unknown as ProcessLog
}

let lastMs = 0
let lastTime = ''

/** The same time format as pino's, but printed only once for all lines of a millisecond. */
function isoTime(): string {
  const now = Date.now()
  if (now !== lastMs) {
    lastMs = now
    lastTime = `,"time":"${new Date(now).toISOString()}"`
  }
  return lastTime
}
