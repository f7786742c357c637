/** The floors for storage: only the system calls, in a loop, with the bytes of one 4 KB record. No HTTP. */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { drafts } from '../fill.ts'
import type { LoopJob, Measured } from '../job.ts'
import { percentile } from '../statistics.ts'

const job = JSON.parse(process.argv[2] as string) as LoopJob
const record = drafts()(0).opening
const [open, write, fsync, close, rename] = [
  promisify(fs.open),
  promisify(fs.write),
  promisify(fs.fsync),
  promisify(fs.close),
  promisify(fs.rename),
]

const latencies: number[] = []
let counted = 0
let began = 0
let cpu = process.cpuUsage()
const warmUntil = performance.now() + job.warmMs
const until = warmUntil + job.measureMs
let ended = until

/** Counts records, and says whether to go on. Records before the end of the warm-up do not count. */
function count(records: number, since: number): boolean {
  const now = performance.now()
  if (began === 0) {
    if (now < warmUntil) return true
    began = now
    cpu = process.cpuUsage()
    return true
  }
  counted += records
  latencies.push(now - since)
  if (now < until) return true
  ended = now
  return false
}

/** Appends so many records to one file in one write, then calls fdatasync, and waits for both. */
function appendLoop(recordsPerSync: number): void {
  const bytes = Buffer.concat(Array.from({ length: recordsPerSync }, () => record))
  const file = fs.openSync(join(job.directory, 'appended'), 'w')
  let at = 0
  for (let since = 0; at === 0 || count(recordsPerSync, since); ) {
    since = performance.now()
    at += fs.writeSync(file, bytes, 0, bytes.length, at)
    fs.fdatasyncSync(file)
  }
  fs.closeSync(file)
}

/** Runs so many at once. Each opens a temporary file, writes, fsyncs, closes, renames it over its file, and fsyncs the directory (kept open). */
async function renameLoop(concurrency: number, files: number): Promise<void> {
  const directory = await open(job.directory, 'r')
  let next = 0
  const chain = async (): Promise<void> => {
    for (let goOn = true; goOn; ) {
      const since = performance.now()
      const path = join(job.directory, `file-${next++ % files}`)
      const temporary = `${path}.${next}`
      const file = await open(temporary, 'w')
      await write(file, record, 0, record.length, 0)
      await fsync(file)
      await close(file)
      await rename(temporary, path)
      await fsync(directory)
      goOn = count(1, since)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, chain))
  await close(directory)
}

async function main(): Promise<void> {
  if (job.loop === 'append') appendLoop(job.recordsPerSync)
  else await renameLoop(job.concurrency, job.files)
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (ended - began) / 1000
  const taken = Float64Array.from(latencies)
  const measured: Measured = {
    requestsPerSecond: counted / seconds,
    p50: percentile(taken, 0.5),
    p99: percentile(taken, 0.99),
    p999: percentile(taken, 0.999),
    cpuPerRequest: (user + system) / counted,
    requests: counted,
    seconds,
  }
  console.log(JSON.stringify(measured))
}

// A CommonJS bundle allows no await at the top.
void main()
