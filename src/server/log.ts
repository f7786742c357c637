/** One JSON line per event on standard output. Never a token, an envelope's content or a participant. */
import pino from 'pino'
import type { Log } from '../log.ts'
import { StandardOutput } from './standard-output.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/**
 * Logging never waits for who reads the log. `flush` is for the end of the process; what a kill finds gathered is lost, and so is
 * what a reader that stands still leaves no room for.
 */
export function createLog(level: LogLevel): Log & { flush(): void } {
  const output = new StandardOutput()
  let lost = 0
  const write = (line: string): void => {
    if (!output.hasRoom) {
      lost++
      return
    }
    if (lost > 0) {
      const lines = lost
      lost = 0
      logger.warn({ lines }, 'lines of this log are lost: nobody read it')
    }
    output.write(line)
  }
  const logger = pino({ level, base: { pid: process.pid }, timestamp: isoTime }, { write })
  return Object.assign(logger, { flush: () => output.end() }) as unknown as Log & { flush(): void }
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
