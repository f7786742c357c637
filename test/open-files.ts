/** The limit of open files of a receiver that runs. Only the soft limit: what is open stays open, and it can be raised again. */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import type { Receiver } from './receiver.ts'

export function limitFiles({ process: child }: Receiver, most: number): void {
  execFileSync('prlimit', ['--pid', String(child.pid), `--nofile=${most}:`])
}

/** The next file that is opened is one too many. */
export function allowNoFurtherFile(receiver: Receiver): void {
  const open = new Set(readdirSync(`/proc/${receiver.process.pid}/fd`).map(Number))
  let next = 0
  while (open.has(next)) next++
  limitFiles(receiver, next)
}
