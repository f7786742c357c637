/**
 * `npm run bench -- --costs`, the part of the database: what an append costs beside no record and beside a million, with the bytes of
 * the write-ahead log.
 */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { newServer, type Server, withoutServer } from '../postgres/cluster.ts'
import { makeTables } from '../postgres/prepared.ts'
import { type Cost, type Progress, post } from './costs.ts'
import { onlyAssociation } from './fill.ts'
import { benchSettings } from './peers.ts'
import type { Programs } from './programs.ts'
import { percentile } from './statistics.ts'

const storedCounts = [0, 1_000_000] as const
const warm = 1_000
/** So many are sent by 64 senders at once, and then so few by one sender. */
const many = 5_000
const few = 300

/** Empty where there is no PostgreSQL. */
export async function costsOfDatabase(
  programs: Programs,
  scratch: string,
  progress: Progress,
): Promise<Cost[]> {
  if (withoutServer) return []
  const found: Cost[] = []
  for (const stored of storedCounts) {
    progress(0, undefined, `a database with ${stored.toLocaleString('en-US')} records`)
    const server = await newServer('UTF8', scratch)
    try {
      server.set(benchSettings)
      await server.stop()
      await server.start()
      await makeTables(server)
      await fillTable(server, stored)
      found.push(...(await appendCosts(programs, mkdtempSync(join(scratch, 'database-')), server, stored)))
    } finally {
      await server.discard()
    }
  }
  return found
}

async function appendCosts(
  programs: Programs,
  dataDir: string,
  server: Server,
  stored: number,
): Promise<Cost[]> {
  const running = await programs.start('database', dataDir, server.url())
  let number = 0
  const send = async (count: number, senders: number, onTaken?: (ms: number) => void): Promise<void> => {
    const last = number + count
    const turn = () => (number < last ? { number: number++, association: 0 } : undefined)
    await post(running.port, senders, turn, onTaken)
  }
  try {
    await send(warm, 64)
    await server.sql('CHECKPOINT')
    const before = await walPosition(server)
    const began = performance.now()
    await send(many, 64)
    const seconds = (performance.now() - began) / 1000
    const wal = Number((await walPosition(server)) - before) / many
    const taken: number[] = []
    await send(few, 1, (ms) => taken.push(ms))
    const beside = `beside ${stored.toLocaleString('en-US')} records in the database`
    return [
      { what: `64 senders ${beside}`, found: many / seconds, unit: 'req/s' },
      {
        what: `write-ahead log of a record of 4 KB, right after a checkpoint, ${beside}`,
        found: wal,
        unit: 'bytes',
      },
      { what: `one sender ${beside}: p50`, found: percentile(Float64Array.from(taken), 0.5), unit: 'ms' },
    ]
  } finally {
    await running.kill()
  }
}

async function walPosition(server: Server): Promise<bigint> {
  const [row] = await server.sql(`SELECT (pg_current_wal_lsn() - '0/0')::text AS bytes`)
  return BigInt(String(row?.bytes))
}

/**
 * Lines of half a KB in the association that is written to, made by the server: only the hash of the last one has to be right. They have
 * the place, the key and the size of records. An envelope that is posted has 4 KB.
 */
async function fillTable(server: Server, count: number): Promise<void> {
  if (count === 0) return
  const { addon, association_slug } = onlyAssociation
  await server.sql('ALTER TABLE civic.record DISABLE TRIGGER ALL')
  await server.sql(
    `INSERT INTO civic.record (addon, slug, sequence, id, line)
     SELECT $1, $2, n, sha256(convert_to(n::text, 'UTF8')), convert_to('{' || repeat(md5(n::text), 16), 'UTF8')
     FROM generate_series(1, $3::bigint) AS n`,
    [addon, association_slug, count],
  )
  await server.sql(
    `INSERT INTO civic.association
     SELECT addon, slug, sequence, encode(sha256(line), 'hex'), '2026-01-01T00:00:00.000Z'
     FROM civic.record WHERE sequence = $1`,
    [count],
  )
  await server.sql('ALTER TABLE civic.record ENABLE TRIGGER ALL')
  await server.sql('VACUUM ANALYZE civic.record')
}
