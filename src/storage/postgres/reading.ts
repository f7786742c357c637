/**
 * The statements of a mirror. It reads in pages, each with a statement of its own, so that no open transaction keeps the
 * database from cleaning up. Records of one association become visible in the order of their sequence, on the primary and on a
 * standby.
 */
import { type Line, parseReceipt } from '../../records/line.ts'
import { sha256Hex } from '../../records/sha256.ts'
import { Connection, type Row, type Statement } from './connection.ts'
import { Broken, codeOf } from './fault.ts'
import { schemaVersion } from './prepare.ts'
import { type AssociationName, isImporting } from './statements.ts'
import type { DatabaseTarget } from './url.ts'

/** Connects to the first host that has the tables; a standby will do. If there is none, gives the reasons of all hosts. */
export async function connectToRead(target: DatabaseTarget): Promise<Connection | readonly string[]> {
  const reasons: string[] = []
  for (const [at, host] of target.hosts.entries()) {
    try {
      const connection = await Connection.open(target, host)
      const reason = await unreadable(connection)
      if (reason === undefined) return connection
      connection.destroy()
      reasons.push(`host ${at + 1}: ${reason}`)
    } catch (error) {
      reasons.push(`host ${at + 1}: no connection (${codeOf(error)})`)
    }
  }
  return reasons
}

async function unreadable(connection: Connection): Promise<string | undefined> {
  const { version, encoding } = connection.facts
  if (version === undefined) return 'it has no tables for this role: run `database prepare`'
  if (version !== schemaVersion) return 'its tables are of another version of this program'
  if (encoding !== 'UTF8') return 'its encoding is not UTF8'
  if (await isImporting(connection)) return 'an import is under way or was broken off'
  return undefined
}

export type ServerHead = AssociationName & { readonly count: number; readonly sha256: string }

const associationsPage = 1_000

/** All associations that have records, in the order of their names. */
export async function* heads(connection: Connection): AsyncGenerator<ServerHead> {
  let after: readonly [string, string] = ['', '']
  for (;;) {
    const rows = await connection.run(readHeads, [...after, associationsPage])
    for (const { addon, slug, count, sha256 } of rows)
      yield {
        addon: String(addon),
        association_slug: String(slug),
        count: Number(count),
        sha256: String(sha256),
      }
    const last = rows.at(-1)
    if (!last || rows.length < associationsPage) return
    after = [String(last.addon), String(last.slug)]
  }
}

const readHeads: Statement = {
  name: 'heads',
  text: `SELECT addon, slug, count::text, sha256 FROM civic.association WHERE (addon, slug) > ($1, $2)
    ORDER BY addon, slug LIMIT $3`,
}

const pageRecords = 1_000
const pageBytes = 4 * 1024 * 1024

/** A page of lines behind a sequence, at least two if there are two. Stops before a line that does not end in a receipt. */
export async function linesBehind(
  connection: Connection,
  { addon, association_slug }: AssociationName,
  sequence: number,
  until: number,
): Promise<readonly Omit<Line, 'offset'>[]> {
  const rows = await connection.run(readLines, [
    addon,
    association_slug,
    sequence,
    until,
    pageRecords,
    pageBytes,
  ])
  const lines: Omit<Line, 'offset'>[] = []
  for (const { line } of rows) {
    const receipt = parseReceipt(line as Buffer)
    if (!receipt) break
    lines.push({ line: line as Buffer, receipt, sha256: sha256Hex(line as Buffer) })
  }
  return lines
}

// the database knows the length of a value without reading the value
const readLines: Statement = {
  name: 'lines',
  text: `SELECT line FROM (
      SELECT sequence, line, row_number() OVER chain AS row, sum(octet_length(line)) OVER chain - octet_length(line) AS before
      FROM (SELECT sequence, line FROM civic.record WHERE addon = $1 AND slug = $2 AND sequence > $3 AND sequence <= $4
        ORDER BY sequence LIMIT $5) AS page
      WINDOW chain AS (ORDER BY sequence)
    ) AS counted WHERE before < $6 OR row <= 2 ORDER BY sequence`,
}

/** A page of the SHA-256 of the lines behind a sequence, in order, without the lines. */
export async function hashesBehind(
  connection: Connection,
  { addon, association_slug }: AssociationName,
  sequence: number,
  until: number,
): Promise<readonly { readonly sequence: number; readonly sha256: string }[]> {
  const rows = await connection.run(readHashes, [addon, association_slug, sequence, until, hashesPage])
  return rows.map(({ sequence, sha256 }) => ({ sequence: Number(sequence), sha256: String(sha256) }))
}

const hashesPage = 5_000
const readHashes: Statement = {
  name: 'hashes',
  text: `SELECT r.sequence::text, encode(sha256(r.line), 'hex') AS sha256 FROM civic.record r
    WHERE r.addon = $1 AND r.slug = $2 AND r.sequence > $3 AND r.sequence <= $4 ORDER BY r.sequence LIMIT $5`,
}

export type LatestName = AssociationName & { readonly participant_id: string }
export type ServerLatest = LatestName & {
  readonly sha256: string
  readonly bytes: number
  /** The transaction that wrote the record. */
  readonly changed: string
}

/**
 * A transaction number below which every transaction has ended; later writes have this number or a higher one. A reader that
 * asks for the horizon first, and then for all records from its last horizon on, misses no record.
 */
export async function horizon(connection: Connection): Promise<string> {
  const [row] = await connection.run(readHorizon)
  return String(row?.horizon)
}

const readHorizon: Statement = {
  name: 'horizon',
  text: 'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon',
}

const latestPage = 2_000

/** Pages of the records that this transaction and later ones wrote, without their bodies. */
export async function* latestSince(
  connection: Connection,
  since: string,
): AsyncGenerator<readonly ServerLatest[]> {
  let after: readonly string[] = [since, '', '', '']
  for (;;) {
    const rows = await connection.run(readLatest, [...after, latestPage])
    if (rows.length > 0) yield rows.map(latestOf)
    const last = rows.at(-1)
    if (!last || rows.length < latestPage) return
    after = [last.changed, last.addon, last.slug, last.participant_id].map(String)
  }
}

function latestOf({ addon, slug, participant_id, sha256, bytes, changed }: Row): ServerLatest {
  return {
    addon: String(addon),
    association_slug: String(slug),
    participant_id: String(participant_id),
    sha256: String(sha256),
    bytes: Number(bytes),
    changed: String(changed),
  }
}

const readLatest: Statement = {
  name: 'latest',
  text: `SELECT l.addon, l.slug, l.participant_id, encode(sha256(l.body), 'hex') AS sha256, octet_length(l.body) AS bytes,
      l.changed::text
    FROM civic.latest l WHERE (l.changed, l.addon, l.slug, l.participant_id) > ($1::xid8, $2, $3, $4)
    ORDER BY l.changed, l.addon, l.slug, l.participant_id LIMIT $5`,
}

/** The bodies of the records of some participants, as they are now. */
export async function bodiesOf(
  connection: Connection,
  names: readonly LatestName[],
): Promise<readonly (LatestName & { readonly body: Buffer })[]> {
  const rows = await connection.run(readBodies, [
    names.map(({ addon }) => addon),
    names.map(({ association_slug }) => association_slug),
    names.map(({ participant_id }) => participant_id),
  ])
  return rows.map(({ addon, slug, participant_id, body }) => ({
    addon: String(addon),
    association_slug: String(slug),
    participant_id: String(participant_id),
    body: body as Buffer,
  }))
}

const readBodies: Statement = {
  name: 'bodies',
  text: `SELECT addon, slug, participant_id, body FROM civic.latest
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (a, s, p) ON (addon, slug, participant_id) = (a, s, p)`,
}

/**
 * Whether an error is temporary: the connection or the server is gone, or (40001) a standby had to remove the rows that were
 * read.
 */
export function isPassing(error: unknown): boolean {
  return error instanceof Broken || /^(?:08|57P|40001|57014)/.test(codeOf(error))
}
