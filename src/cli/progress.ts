/** A progress line on a terminal that overwrites itself. Without a terminal nothing is printed. */
import type { Io } from './io.ts'

export type Progress = { show(done: number, total: number | undefined, what: string): void; clear(): void }

const everyMs = 100
const width = 30
const eraseLine = '\r\u001b[K'

export function progressOn(io: Io): Progress {
  let last = 0
  const show: Progress['show'] = (done, total, what) => {
    const now = performance.now()
    if (!io.watched || now - last < everyMs) return
    last = now
    io.err(`${eraseLine}${total ? bar(done / total) : ''}${what}`)
  }
  const clear = (): void => {
    if (last > 0) io.err(eraseLine)
    last = 0
  }
  return { show, clear }
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, share) * width)
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}] ${String(Math.floor(share * 100)).padStart(3)} %  `
}
