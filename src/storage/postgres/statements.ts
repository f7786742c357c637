/** All statements that the store sends, and functions that read the answers. */
import { createHash } from 'node:crypto'
import type { Draft } from '../../records/batch.ts'
import { assemble } from '../../records/batch.ts'
import { type LineReceipt, parseReceipt } from '../../records/line.ts'
import { noHash } from '../../records/position.ts'
import { byteaArray } from './arrays.ts'
import type { Connection, Row, Statement } from './connection.ts'
import { Importing, NotDurable } from './fault.ts'

/** What sends a statement. */
export type Runner = Pick<Connection, 'run'>

export type AssociationName = { readonly addon: string; readonly association_slug: string }

export type TableHead = { readonly count: number; readonly sha256: string; readonly receivedAt: string }

/** The receipt of a stored record, with the hash of its line. */
export type StoredLine = LineReceipt & { readonly sha256: string }

// One statement, so that heads and records are of one moment. A subquery in the inserting statement cannot be used, because after
// waiting for another writer it still sees the old state.
const look: Statement = {
  name: 'look',
  text: `SELECT w.addon || '/' || w.slug AS name, a.count::text, a.sha256, a.received_at,
    encode(sha256(r.line), 'hex') AS line_sha256, substring(r.line FROM greatest(1, octet_length(r.line) - 255)) AS tail,
    (SELECT importing FROM civic.state) AS importing
  FROM unnest($1::text[], $2::text[], $3::bytea[]) AS w(addon, slug, id)
  LEFT JOIN civic.association a ON a.addon = w.addon AND a.slug = w.slug
  LEFT JOIN civic.record r ON r.addon = w.addon AND r.slug = w.slug AND r.id = w.id`,
}

export type Wanted = { readonly of: AssociationName; readonly id: string }

/** The heads by the name of their association, and by `recordKeyOf` the given records that are stored already. */
export type Found = {
  readonly heads: Map<string, TableHead>
  readonly stored: Map<string, StoredLine>
}

export function recordKeyOf(name: string, id: string): string {
  return `${name}/${id}`
}

/**
 * Throws `Importing` while an import is under way. A record of an import that is broken off is removed again, so it is not
 * answered as a duplicate. And a receiver that inserted behind rows of the import would wait for them.
 */
export async function lookFor(connection: Runner, wanted: readonly Wanted[]): Promise<Found> {
  const rows = await connection.run(look, [
    wanted.map(({ of }) => of.addon),
    wanted.map(({ of }) => of.association_slug),
    byteaArray(wanted.map(({ id }) => Buffer.from(id, 'hex'))),
  ])
  if (rows[0]?.importing === true) throw new Importing()
  const heads = new Map<string, TableHead>()
  const stored = new Map<string, StoredLine>()
  for (const row of rows) {
    const name = String(row.name)
    heads.set(name, headOf(row))
    const record = storedOf(row)
    if (record) stored.set(recordKeyOf(name, record.id), record)
  }
  return { heads, stored }
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

export type NewLine = AssociationName & {
  readonly id: string
  readonly sequence: number
  readonly line: Uint8Array
}

/** Chains drafts behind the head of their association: the rows to insert, and the receipts for which they stand. */
export function chainBehind(
  of: AssociationName,
  head: TableHead,
  drafts: readonly Draft[],
  receivedAt: string,
): { readonly lines: readonly NewLine[]; readonly records: readonly StoredLine[] } {
  const { bytes, records, next } = assemble({ ...head, end: 0 }, false, drafts, receivedAt)
  const { addon, association_slug } = of
  const lines = records.map(({ id, sequence, offset }, at) => {
    const following = records[at + 1]
    // between two lines there are a comma and a line feed
    const line = bytes.subarray(offset, following ? following.offset - 2 : next.end)
    return { addon, association_slug, id, sequence, line }
  })
  return { lines, records }
}

/**
 * The number of the lock that gives an association's writers their turns. Each append shares it; a writer that was not first often
 * enough takes it alone. It decides only who waits. What is stored is decided by the trigger, also against a writer without the lock.
 */
export function turnOf(name: string): string {
  return createHash('sha256').update(name).digest().readBigInt64BE().toString()
}

/**
 * Begins a transaction in which nobody else appends to these associations. The engine gives its locks in the order in which they were asked
 * for, so nobody waits for longer than the appends that are under way. It ends the transaction of a receiver that was stopped.
 *
 * `synchronous_commit` is fixed, because the trigger checks it before the COMMIT, and a reload between the two would change it. In
 * READ COMMITTED each statement after the lock sees what was committed before.
 */
export function beginInTurn(names: readonly string[]): string {
  const turns = [...new Set(names)].sort().map(turnOf)
  return `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '1500ms';
    SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), true);
    SELECT pg_advisory_xact_lock(turn) FROM unnest('{${turns.join()}}'::bigint[]) AS turn`
}

// the condition is computed first, and once
const append: Statement = {
  name: 'append',
  text: `INSERT INTO civic.record (addon, slug, sequence, id, line)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[])
    WHERE (SELECT count(pg_advisory_xact_lock_shared(turn)) FROM unnest($6::bigint[]) AS turn) >= 0`,
}

/**
 * Inserts lines with one statement, which the trigger checks. Resolves when the commit has come back. Two receivers that insert
 * into several associations at once do not wait for each other in a circle if each gives its lines, and the names of their associations,
 * in the order of the names. An import gives no names, because it is alone.
 */
export async function insertLines(
  connection: Runner,
  lines: readonly NewLine[],
  names: readonly string[] = [],
): Promise<void> {
  await connection.run(append, [
    lines.map(({ addon }) => addon),
    lines.map(({ association_slug }) => association_slug),
    lines.map(({ sequence }) => sequence),
    byteaArray(lines.map(({ id }) => Buffer.from(id, 'hex'))),
    byteaArray(lines.map(({ line }) => line)),
    names.map(turnOf),
  ])
}

/**
 * Makes an empty commit and waits for it. When it has come back, all commits before it have reached the standby. (A record that was
 * only read may be on one disk. `pg_current_xact_id()` alone writes nothing and does not wait.) Throws `NotDurable` under the settings
 * under which the trigger refuses an append.
 */
export async function barrier(connection: Runner): Promise<void> {
  const [row] = await connection.run(emptyMessage)
  if (row?.durable !== true) throw new NotDurable()
}

const emptyMessage: Statement = {
  name: 'barrier',
  text: `SELECT pg_logical_emit_message(true, 'civic', ''), current_setting('synchronous_commit') IN ('on', 'remote_apply')
    AND current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS durable`,
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

/**
 * Replaces the records, except rows that are reached after the deadline on the clock of the database, because a statement that
 * was held up must not replace a newer record that was acknowledged meanwhile. The clock is compared again after waiting for a
 * row. Gives for each stored key whether it is new. While an import is under way, no row is touched, because the statement would
 * wait for rows of the import before the trigger refuses it.
 */
export async function replaceAll(
  connection: Runner,
  bodies: readonly Latest[],
  deadline: Date,
): Promise<ReadonlyMap<string, boolean>> {
  const rows = await connection.run(replace, [deadline.toISOString(), ...columnsOf(bodies)])
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

const replace: Statement = {
  name: 'replace',
  text: `INSERT INTO civic.latest AS l (addon, slug, participant_id, body)
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[])
    WHERE clock_timestamp() < $1::timestamptz AND NOT (SELECT importing FROM civic.state)
    ON CONFLICT (addon, slug, participant_id) DO UPDATE SET body = EXCLUDED.body WHERE clock_timestamp() < $1::timestamptz
    RETURNING addon, slug, participant_id, xmax = 0 AS is_new`,
}

/** Inserts records into an empty table, for an import. */
export async function insertBodies(connection: Connection, bodies: readonly Latest[]): Promise<void> {
  await connection.run(insertEach, columnsOf(bodies))
}

const insertEach: Statement = {
  text: `INSERT INTO civic.latest (addon, slug, participant_id, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])`,
}

function columnsOf(bodies: readonly Latest[]): readonly unknown[] {
  return [
    bodies.map(({ addon }) => addon),
    bodies.map(({ association_slug }) => association_slug),
    bodies.map(({ participant_id }) => participant_id),
    byteaArray(bodies.map(({ body }) => body)),
  ]
}
