/** Asks a server for its facts on a new connection, and judges whether it is fit to store records. */
import type pg from 'pg'
import { schemaVersion } from './prepare.ts'

export type Facts = {
  readonly isStandby: boolean
  /** Identifies the database system; a primary and all its standbys have the same one. */
  readonly system: string
  /** Grows by 1 with each promotion; 0 on a standby, which is not asked. */
  readonly timeline: number
  /** The server's process for this connection. Number and start together identify it for ever. */
  readonly backend: { readonly pid: number; readonly began: string }
  /** The clock of the database in milliseconds since 1970. */
  readonly clock: number
  readonly encoding: string
  readonly commit: string
  readonly fsync: string
  readonly fullPageWrites: string
  /** The version of the tables. Undefined: there are no tables, or this role may not see them. */
  readonly version: number | undefined
}

// the timeline is not read from pg_control_checkpoint(), which shows the old one until the first checkpoint after a promotion
const question = `SELECT pg_is_in_recovery() AS standby,
  (SELECT system_identifier::text FROM pg_control_system()) AS system,
  CASE WHEN pg_is_in_recovery() THEN NULL ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
  pg_backend_pid() AS pid,
  (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS began,
  extract(epoch FROM clock_timestamp())::float8 * 1000 AS clock,
  current_setting('server_encoding') AS encoding, current_setting('synchronous_commit') AS commit,
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
  EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'civic' AND has_schema_privilege(oid, 'USAGE')) AS prepared`

export async function factsOf(client: pg.Client): Promise<Facts> {
  const row = (await client.query(question)).rows[0]
  const state = row.prepared ? (await client.query('SELECT version FROM civic.state')).rows[0] : undefined
  return {
    isStandby: row.standby,
    system: row.system,
    timeline: row.timeline === null ? 0 : Number.parseInt(row.timeline, 16),
    backend: { pid: row.pid, began: row.began },
    clock: row.clock,
    encoding: row.encoding,
    commit: row.commit,
    fsync: row.fsync,
    fullPageWrites: row.pages,
    version: state?.version,
  }
}

/** Why the server may not store records, as a sentence for an operator; undefined when it may. */
export function unfit(facts: Facts): string | undefined {
  if (facts.isStandby) return 'it is a standby'
  if (facts.version === undefined) return 'it has no tables for this role: run `database prepare`'
  if (facts.version !== schemaVersion) return 'its tables are of another version of this program'
  if (facts.encoding !== 'UTF8') return 'its encoding is not UTF8'
  if (facts.commit !== 'on' && facts.commit !== 'remote_apply')
    return 'its synchronous_commit is neither on nor remote_apply'
  if (facts.fsync !== 'on' || facts.fullPageWrites !== 'on') return 'its fsync or full_page_writes is off'
  return undefined
}
