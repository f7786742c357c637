/** What a process and a disk have done so far, as the kernel counts it: differences of two looks are what a while has cost. */
import { readdirSync, readFileSync } from 'node:fs'

export type Usage = {
  /** How often any thread had to be woken because it had gone to sleep. */
  readonly wakeUps: number
  readonly cpuMs: number
  /** Bytes that the process gave to the disk, its file system's own not included. */
  readonly writtenBytes: number
}

export function usageOf(pid: number): Usage {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`)
  const sum = (count: (thread: string) => number): number =>
    threads.reduce((total, thread) => total + count(thread), 0)
  return {
    wakeUps: sum((thread) => numberIn(`${thread}/status`, /^voluntary_ctxt_switches:\s+(\d+)/m)),
    cpuMs: sum((thread) => numberIn(`${thread}/schedstat`, /^(\d+)/)) / 1e6,
    writtenBytes: numberIn(`/proc/${pid}/io`, /^write_bytes: (\d+)/m),
  }
}

/** Of a block device, by its number (`7:0`): all bytes that were written to it, journal and metadata included. */
export function bytesWrittenTo(device: string): number {
  const fields = readFileSync(`/sys/dev/block/${device}/stat`, 'latin1').trim().split(/\s+/)
  return Number(fields[6]) * 512
}

function numberIn(path: string, pattern: RegExp): number {
  return Number(pattern.exec(readFileSync(path, 'latin1'))?.[1])
}
