/** `npm run bench -- --costs`: what grows with the number of associations and records, and whether a long file makes others wait. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, openConnection } from './connection.ts'
import { costsOfDatabase } from './database-costs.ts'
import { directoryOf, fill, restore } from './fill.ts'
import { firstRecordMs, type Programs, type Running } from './programs.ts'
import { requestFor } from './request.ts'
import { percentile } from './statistics.ts'

/** As many as slugs with four digits can distinguish. */
const associations = 10_000
/** They make a records file of a little more than 1 GB. */
const records = 250_000
/** The number of a record that the receiver does not know from the run before. */
const firstNumber = 1_000_000_000
const secondNumber = 2_000_000_000
const senders = 64
const bystanders = 4

export type Cost = { readonly what: string; readonly found: number; readonly unit: string }

export type Progress = (done: number, total: number | undefined, what: string) => void

/** Measures all costs one after the other, below `scratch`. It takes a few minutes and 4 GB. */
export async function costs(programs: Programs, scratch: string, progress: Progress): Promise<Cost[]> {
  return [
    ...(await costsOfAssociations(programs, mkdtempSync(join(scratch, 'associations-')), progress)),
    ...(await costsOfRecords(programs, mkdtempSync(join(scratch, 'records-')), progress)),
    ...(await costsOfDatabase(programs, scratch, progress)),
  ]
}

async function costsOfAssociations(programs: Programs, root: string, progress: Progress): Promise<Cost[]> {
  const postToEach = async (server: Running, round: number, what: string): Promise<number> => {
    const began = performance.now()
    await post(server.port, senders, (done) => {
      if (done % 100 === 0) progress(done, associations, what)
      return done < associations ? { number: round * associations + done, association: done } : undefined
    })
    return associations / ((performance.now() - began) / 1000)
  }
  const made = await running(programs, root, async (server) => {
    await firstRecordMs(server, firstNumber)
    const before = rssBytes(server)
    const rate = await postToEach(server, 1, 'new associations')
    return { rate, bytes: (rssBytes(server) - before) / associations, open: openFiles(server) }
  })
  const again = await running(programs, root, async (server) => {
    const startMs = await firstRecordMs(server, secondNumber)
    const before = rssBytes(server)
    const rate = await postToEach(server, 2, 'known associations, after a restart')
    return { startMs, rate, bytes: (rssBytes(server) - before) / associations }
  })
  rmSync(root, { recursive: true })
  const n = associations.toLocaleString('en-US')
  return [
    { what: `first record of each of ${n} associations`, found: made.rate, unit: 'req/s' },
    { what: 'memory an association, made by this process', found: made.bytes / 1000, unit: 'KB' },
    { what: `open files after ${n} associations`, found: made.open, unit: 'files' },
    { what: `start to first record, ${n} associations on disk`, found: again.startMs, unit: 'ms' },
    { what: `one more record for each of ${n}, after a restart`, found: again.rate, unit: 'req/s' },
    { what: 'memory an association, found on disk', found: again.bytes / 1000, unit: 'KB' },
  ]
}

async function costsOfRecords(programs: Programs, root: string, progress: Progress): Promise<Cost[]> {
  const n = records.toLocaleString('en-US')
  const position = await fill(root, records, (done) =>
    progress(done, records, `making a file of ${n} records`),
  )
  const size = statSync(join(directoryOf(root), 'records.json')).size
  const known = await running(programs, root, async (server) => {
    const before = rssBytes(server)
    const startMs = await firstRecordMs(server, firstNumber)
    return { startMs, bytes: (rssBytes(server) - before) / records }
  })
  await restore(root, position)
  const isCold = dropCaches()
  const cold = await running(programs, root, async (server) => {
    progress(0, undefined, `the first touch of ${n} records, with others at work`)
    const before = await bystandersUntil(server.port, sleep(2_000))
    const began = performance.now()
    const touch = firstRecordMs(server, secondNumber).then(() => performance.now() - began)
    const during = await bystandersUntil(server.port, touch)
    const touchMs = await touch
    await server.stop()
    return { touchMs, before, during }
  })
  rmSync(root, { recursive: true })
  const gigabytes = `${(size / 1e9).toFixed(1)} GB`
  const file = `${n} records (${gigabytes}${isCold ? ', not in the page cache' : ''})`
  return [
    {
      what: `start to first record, ${n} records (${gigabytes})`,
      found: known.startMs,
      unit: 'ms',
    },
    { what: 'memory a record, reading and its buffers included', found: known.bytes, unit: 'bytes' },
    { what: `first touch of ${file}`, found: cold.touchMs, unit: 'ms' },
    ...latencies(`${bystanders} senders to others before it`, cold.before),
    ...latencies(`${bystanders} senders to others meanwhile`, cold.during),
  ]
}

function latencies(what: string, taken: readonly number[]): Cost[] {
  const values = Float64Array.from(taken)
  return ([0.5, 0.99, 1] as const).map((share) => ({
    what: `${what}: ${share === 1 ? 'the longest' : `p${share * 100}`}`,
    found: percentile(values, share),
    unit: 'ms',
  }))
}

async function running<T>(
  programs: Programs,
  root: string,
  use: (server: Running) => Promise<T>,
): Promise<T> {
  const server = await programs.start('bundled', root)
  try {
    return await use(server)
  } finally {
    await server.kill()
  }
}

/** Posts to associations other than the first, one request at a time for each, until `end`. Gives how long each request took. */
async function bystandersUntil(port: number, end: Promise<unknown>): Promise<number[]> {
  let isOver = false
  const over = (): void => {
    isOver = true
  }
  end.then(over, over)
  const taken: number[] = []
  let next = Math.floor(performance.now() * 1000)
  const turn = (_done: number, sender: number): PostTarget | undefined =>
    isOver ? undefined : { number: next++, association: 1 + sender }
  await post(port, bystanders, turn, (ms) => taken.push(ms))
  return taken
}

type PostTarget = { readonly number: number; readonly association: number }

/** Posts on so many connections, on each one request after the other, until `turn` has no more. Any answer but 201 is an error. */
export async function post(
  port: number,
  connections: number,
  turn: (done: number, sender: number) => PostTarget | undefined,
  onTaken: (ms: number) => void = () => {},
): Promise<void> {
  let done = 0
  const sender = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const request = requestFor('append', true)
      let began = 0
      const send = (connection: Connection): void => {
        const place = turn(done, index)
        if (!place) {
          connection.end()
          resolve()
          return
        }
        done++
        request.set(place.number, place.association, 0)
        began = performance.now()
        connection.send(request.bytes)
      }
      openConnection(port, {
        ready: send,
        reply({ status, body }, connection) {
          if (status !== 201) return reject(new Error(`request ${done} was not taken: ${status} ${body}`))
          onTaken(performance.now() - began)
          send(connection)
        },
        gone: (code) => reject(new Error(`a connection was lost: ${code}`)),
      })
    })
  await Promise.all(Array.from({ length: connections }, (_, index) => sender(index)))
}

function rssBytes({ pid }: Running): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024
}

function openFiles({ pid }: Running): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Drops the page cache, which only root may do. Without it the file is read from memory, and the table does not say that it came from the disk. */
function dropCaches(): boolean {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '1')
    return true
  } catch {
    return false
  }
}
