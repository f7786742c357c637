/** One JSON line per event on standard output. Never a token, an envelope's content or a participant. */
import pino from 'pino'
import type { Log } from '../log.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Lines are gathered for so long: each write is a turn of the thread pool, and costs more than a line. */
const gatherMs = 20

/**
 * Lines are written by another thread, and gathered while a write is under way, so that logging never waits for its reader.
 * `flush` ends them; what a kill finds gathered is lost.
 */
export function createLog(level: LogLevel): Log & { flush(): void } {
  const destination = pino.destination({ dest: 1, sync: false })
  let gathered = ''
  const write = (): void => {
    destination.write(gathered)
    gathered = ''
  }
  const gather = (line: string): void => {
    if (gathered === '') setTimeout(write, gatherMs)
    gathered += line
  }
  const logger = pino({ level, base: { pid: process.pid }, timestamp: isoTime }, { write: gather })
  // whoever reads the log may go away; storing goes on
  destination.on('error', () => {})
  const end = (): void => {
    try {
      write()
      destination.flushSync()
    } catch {
      // not yet open, or gone: nothing that could still be written
    }
  }
  return Object.assign(logger, { flush: end }) as unknown as Log & { flush(): void }
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
