/** Reads the counters of the kernel for a process and a disk. The difference of two readings is the cost of the time between them. */
import { readdirSync, readFileSync } from 'node:fs'

export type Usage = {
  /** How often a thread was woken after it had gone to sleep, counted over all threads. */
  readonly wakeUps: number
  readonly cpuMs: number
  /** The bytes that the process wrote to the disk, without those of the file system itself. */
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

/** All bytes that were written to the block device of this number (`7:0`), including journal and metadata. */
export function bytesWrittenTo(device: string): number {
  const fields = readFileSync(`/sys/dev/block/${device}/stat`, 'latin1').trim().split(/\s+/)
  return Number(fields[6]) * 512
}

function numberIn(path: string, pattern: RegExp): number {
  return Number(pattern.exec(readFileSync(path, 'latin1'))?.[1])
}
