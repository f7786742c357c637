/** Changes the limit of open files of a running receiver. It is the soft limit, so open files stay open and the limit can be raised again. */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import type { Receiver } from './receiver.ts'

export function limitFiles({ process: child }: Receiver, most: number): void {
  execFileSync('prlimit', ['--pid', String(child.pid), `--nofile=${most}:`])
}

/** Sets the limit so that the receiver cannot open one more file. */
export function allowNoFurtherFile(receiver: Receiver): void {
  const open = new Set(readdirSync(`/proc/${receiver.process.pid}/fd`).map(Number))
  let next = 0
  while (open.has(next)) next++
  limitFiles(receiver, next)
}
