/** All statements that the store sends, and functions that read the answers. */
import type { Draft } from '../../records/batch.ts'
import { assemble } from '../../records/batch.ts'
import { type LineReceipt, parseReceipt } from '../../records/line.ts'
import { noHash } from '../../records/position.ts'
import type { Connection, Row, Statement } from './connection.ts'

export type AssociationName = { readonly addon: string; readonly association_slug: string }

export type TableHead = { readonly count: number; readonly sha256: string; readonly receivedAt: string }

/** The receipt of a stored record, with the hash of its line. */
export type StoredLine = LineReceipt & { readonly sha256: string }

// One statement, so that head and records are of one moment. A subquery in the inserting statement cannot be used, because after
// waiting for another writer it still sees the old state.
const look: Statement = {
  name: 'look',
  text: `SELECT a.count::text, a.sha256, a.received_at,
    encode(sha256(r.line), 'hex') AS line_sha256, substring(r.line FROM greatest(1, octet_length(r.line) - 255)) AS tail
  FROM (SELECT) AS always
  LEFT JOIN civic.association a ON a.addon = $1 AND a.slug = $2
  LEFT JOIN civic.record r ON r.addon = $1 AND r.slug = $2 AND r.id = ANY ($3::bytea[])`,
}

/** The head of an association, and those of the given records that are stored already. */
export async function lookFor(
  connection: Connection,
  { addon, association_slug }: AssociationName,
  ids: readonly string[],
): Promise<{ readonly head: TableHead; readonly stored: Map<string, StoredLine> }> {
  const rows = await connection.run(look, [
    addon,
    association_slug,
    `{${ids.map((id) => `"\\\\x${id}"`).join(',')}}`,
  ])
  const found = rows.flatMap((row) => storedOf(row) ?? [])
  return { head: headOf(rows[0] as Row), stored: new Map(found.map((record) => [record.id, record])) }
}

function headOf({ count, sha256, received_at }: Row): TableHead {
  if (count === null) return { count: 0, sha256: noHash, receivedAt: '' }
  return { count: Number(count), sha256: String(sha256), receivedAt: String(received_at) }
}

function storedOf({ tail, line_sha256 }: Row): StoredLine | undefined {
  if (tail === null) return undefined
  const receipt = parseReceipt(tail as Buffer)
  if (!receipt) throw new Error('a stored line does not end in a receipt')
  return { ...receipt, sha256: String(line_sha256) }
}

/** Chains the drafts behind the head and inserts them with one statement. Resolves when the commit has come back. */
export async function insertBehind(
  connection: Connection,
  of: AssociationName,
  head: TableHead,
  drafts: readonly Draft[],
  receivedAt: string,
): Promise<readonly StoredLine[]> {
  const { bytes, records, next } = assemble({ ...head, end: 0 }, false, drafts, receivedAt)
  const lines = records.map(({ id, sequence, offset }, at) => {
    const following = records[at + 1]
    // between two lines there are a comma and a line feed
    return { id, sequence, line: bytes.subarray(offset, following ? following.offset - 2 : next.end) }
  })
  await insertLines(connection, of, lines)
  return records
}

export type NewLine = { readonly id: string; readonly sequence: number; readonly line: Uint8Array }

/** Inserts lines with one statement, which the trigger checks. Resolves when the commit has come back. */
export async function insertLines(
  connection: Connection,
  { addon, association_slug }: AssociationName,
  lines: readonly NewLine[],
): Promise<void> {
  const values: unknown[] = [addon, association_slug]
  for (const { id, sequence, line } of lines) values.push(sequence, Buffer.from(id, 'hex'), line)
  await connection.run(insertOf(lines.length), values)
}

const inserts = new Map<number, Statement>()

/** A statement for `count` records. `bytea` parameters travel as bytes, but in an array they would travel as hex digits. */
function insertOf(count: number): Statement {
  const known = inserts.get(count)
  if (known) return known
  const rows = Array.from(
    { length: count },
    (_, at) => `($1, $2, $${3 + 3 * at}, $${4 + 3 * at}, $${5 + 3 * at})`,
  )
  const text = `INSERT INTO civic.record (addon, slug, sequence, id, line) VALUES ${rows.join(', ')}`
  const statement = { name: `append-${count}`, text }
  inserts.set(count, statement)
  return statement
}

/**
 * Makes an empty commit and waits for it. When it has come back, all commits before it have reached the standby. (A record that was
 * only read may be on one disk. `pg_current_xact_id()` alone writes nothing and does not wait.)
 */
export async function barrier(connection: Connection): Promise<void> {
  const [row] = await connection.run(emptyMessage)
  if (row?.commit !== 'on' && row?.commit !== 'remote_apply')
    throw new Error('synchronous_commit was changed')
}

const emptyMessage: Statement = {
  name: 'barrier',
  text: `SELECT pg_logical_emit_message(true, 'civic', ''), current_setting('synchronous_commit') AS commit`,
}

/**
 * Whether the primary is set to wait for a standby. Asked after each commit, on the same connection, because emptying the names
 * lets all waiting commits come back as if they had reached a standby.
 */
export async function namesStandby(connection: Connection): Promise<boolean> {
  const [row] = await connection.run(readNames)
  return row?.names === true
}

const readNames: Statement = {
  name: 'names',
  text: `SELECT current_setting('synchronous_standby_names') <> '' AS names`,
}

/** How many standbys are attached. A standby that hangs counts too; only a commit that came back proves that one works. */
export async function attachedStandbys(connection: Connection): Promise<number> {
  const [row] = await connection.run(readStandbys)
  return Number(row?.attached)
}

/** Whether an import is under way or was interrupted. Then the trigger refuses every receiver. */
export async function isImporting(connection: Connection): Promise<boolean> {
  const [row] = await connection.run(readState)
  return row?.importing === true
}

const readState: Statement = { name: 'state', text: 'SELECT importing FROM civic.state' }

const readStandbys: Statement = {
  name: 'standbys',
  text: `SELECT count(*) AS attached FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')`,
}

export type Latest = AssociationName & { readonly participant_id: string; readonly body: Uint8Array }

const replaces = new Map<number, Statement>()

/**
 * Replaces the records, except rows that are reached after the deadline on the clock of the database, because a statement that
 * was held up must not replace a newer record that was acknowledged meanwhile. The clock is compared again after waiting for a
 * row. Gives for each stored key whether it is new.
 */
export async function replaceAll(
  connection: Connection,
  bodies: readonly Latest[],
  deadline: Date,
): Promise<ReadonlyMap<string, boolean>> {
  const values: unknown[] = [deadline.toISOString()]
  for (const { addon, association_slug, participant_id, body } of bodies)
    values.push(addon, association_slug, participant_id, body)
  const rows = await connection.run(replaceOf(bodies.length), values)
  return new Map(
    rows.map(({ addon, slug, participant_id, is_new }) => [
      `${addon}/${slug}/${participant_id}`,
      is_new === true,
    ]),
  )
}

export function keyOf({ addon, association_slug, participant_id }: Omit<Latest, 'body'>): string {
  return `${addon}/${association_slug}/${participant_id}`
}

/** Inserts records into an empty table, for an import. */
export function insertBodiesOf(count: number): Statement {
  return { text: `INSERT INTO civic.latest (addon, slug, participant_id, body) VALUES ${bodyRows(count, 1)}` }
}

function bodyRows(count: number, first: number): string {
  const rows = Array.from({ length: count }, (_, at) => {
    const [a, b, c, d] = [0, 1, 2, 3].map((place) => first + 4 * at + place)
    return `($${a}, $${b}, $${c}, $${d}::bytea)`
  })
  return rows.join(', ')
}

function replaceOf(count: number): Statement {
  const known = replaces.get(count)
  if (known) return known
  const text = `INSERT INTO civic.latest AS l (addon, slug, participant_id, body)
    SELECT * FROM (VALUES ${bodyRows(count, 2)}) AS sent WHERE clock_timestamp() < $1::timestamptz
    ON CONFLICT (addon, slug, participant_id) DO UPDATE SET body = EXCLUDED.body WHERE clock_timestamp() < $1::timestamptz
    RETURNING addon, slug, participant_id, xmax = 0 AS is_new`
  const statement = { name: `replace-${count}`, text }
  replaces.set(count, statement)
  return statement
}
