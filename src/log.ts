/** One JSON line per event on standard output. Never a token, an envelope's content or a participant. */
import pino from 'pino'

/** What the parts of this program log through. `fatal` asks for a person: a records file was refused. */
export type Log = Readonly<
  Record<'info' | 'warn' | 'error' | 'fatal', (fields: object, message: string) => void>
>

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Until then, or until there are so many bytes, lines are gathered: a write costs more than a line. */
const gatherMs = 20
const mostGathered = 8 * 1024

/**
 * Lines are written by another thread, and gathered while a write is under way, so that logging never waits for its reader.
 * `flush` ends them; what a kill finds gathered is lost.
 */
export function createLog(level: LogLevel): Log & { flush(): void } {
  const destination = pino.destination({
    dest: 1,
    sync: false,
    minLength: mostGathered,
    contentMode: 'buffer',
  })
  let isDue = false
  const gather = (line: string): void => {
    // as bytes (its type knows only text): text that grows would be counted and encoded anew with each line
    destination.write(Buffer.from(line) as unknown as string)
    if (isDue) return
    isDue = true
    setTimeout(() => {
      isDue = false
      destination.flush()
    }, gatherMs)
  }
  const logger = pino({ level, base: { pid: process.pid }, timestamp: isoTime }, { write: gather })
  // whoever reads the log may go away; storing goes on
  destination.on('error', () => {})
  const end = (): void => {
    try {
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
