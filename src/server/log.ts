/** One JSON line per event on standard output. Never a token, an envelope's content or a participant. */
import pino from 'pino'
import type { Log } from '../log.ts'
import { StandardOutput } from './standard-output.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

export type ProcessLog = Log & {
  /** For the end of the process. */
  flush(): void
  /** For the metrics. */
  readonly state: { readonly lostLines: number; readonly waitingBytes: number }
}

/**
 * Logging never waits for who reads the log. `flush` is for the end of the process; what a kill finds gathered is lost, and so is
 * what a reader that stands still leaves no room for.
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

/** As pino's own, but printed once for the lines of one millisecond. */
function isoTime(): string {
  const now = Date.now()
  if (now !== lastMs) {
    lastMs = now
    lastTime = `,"time":"${new Date(now).toISOString()}"`
  }
  return lastTime
}
