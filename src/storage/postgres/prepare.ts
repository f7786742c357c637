/** Makes the tables and gives the role of the receiver its rights, or says why this database cannot be used. */
import type pg from 'pg'

/** The version of schema.sql that this program was written for. */
export const schemaVersion = 1

export class NotPrepared extends Error {
  override readonly name = 'NotPrepared'
}

export type Preparation = {
  /** The text of schema.sql. */
  readonly schema: string
  /** The role with which the receivers log in. */
  readonly role: string
  /** A role that may read only, for a mirror on another machine. */
  readonly reader?: string | undefined
}

/**
 * A second run changes only the rights, which it sets anew; so it also ends a pause by REVOKE. Everything is one transaction.
 * `owner` is the connection of a superuser, because only a superuser may keep parameters out of the log of the server.
 */
export async function prepare(
  owner: pg.Client,
  { schema, role, reader }: Preparation,
): Promise<'made' | 'kept'> {
  await requireFit(owner, role, reader)
  await owner.query('BEGIN')
  try {
    await owner.query(`SET LOCAL lock_timeout = '5s'`)
    const found = await versionOf(owner)
    if (found === undefined) {
      await makeOwnerRole(owner)
      await owner.query(schema)
    } else if (found !== schemaVersion) {
      throw new NotPrepared(
        `the tables have version ${found}, and this program was written for ${schemaVersion}`,
      )
    }
    await limitEverybody(owner)
    await grantReading(owner, role)
    await grantWriting(owner, role)
    if (reader !== undefined) await grantReading(owner, reader)
    await owner.query('COMMIT')
    return found === undefined ? 'made' : 'kept'
  } catch (error) {
    await owner.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** The version of the tables; undefined when there are none. */
async function versionOf(owner: pg.Client): Promise<number | undefined> {
  const { rows } = await owner.query(`SELECT to_regclass('civic.state') IS NOT NULL AS made`)
  if (!rows[0].made) return undefined
  return (await owner.query('SELECT version FROM civic.state')).rows[0]?.version ?? 0
}

async function requireFit(owner: pg.Client, role: string, reader: string | undefined): Promise<void> {
  const { rows } = await owner.query(
    `SELECT current_setting('server_encoding') AS encoding,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS super`,
  )
  if (!rows[0].super)
    throw new NotPrepared(
      '--owner must be the URL of a superuser, such as the user postgres on its own machine',
    )
  if (rows[0].encoding !== 'UTF8') throw new NotPrepared('the database must be made with ENCODING UTF8')
  for (const name of reader === undefined ? [role] : [role, reader]) {
    const found = await owner.query('SELECT rolsuper, rolname FROM pg_catalog.pg_roles WHERE rolname = $1', [
      name,
    ])
    if (found.rows.length === 0)
      throw new NotPrepared(`there is no role of that name: make it first, with CREATE ROLE … LOGIN`)
    if (found.rows[0].rolsuper)
      throw new NotPrepared('the role must not be a superuser: it would be bound by nothing')
  }
}

async function makeOwnerRole(owner: pg.Client): Promise<void> {
  const { rows } = await owner.query(`SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'civic_owner'`)
  if (rows.length === 0) await owner.query('CREATE ROLE civic_owner NOLOGIN')
}

/** Takes rights from everybody, such as the right to make temporary tables, which could take the place of real ones. */
async function limitEverybody(owner: pg.Client): Promise<void> {
  const { rows } = await owner.query('SELECT pg_catalog.current_database() AS name')
  await owner.query(
    `REVOKE TEMPORARY, CREATE ON DATABASE ${owner.escapeIdentifier(rows[0].name)} FROM PUBLIC`,
  )
  await owner.query('REVOKE CREATE ON SCHEMA public FROM PUBLIC')
}

async function grantReading(owner: pg.Client, role: string): Promise<void> {
  const name = owner.escapeIdentifier(role)
  await owner.query(`REVOKE ALL ON ALL TABLES IN SCHEMA civic FROM ${name}`)
  await owner.query(`GRANT USAGE ON SCHEMA civic TO ${name}`)
  await owner.query(`GRANT SELECT ON civic.state, civic.association, civic.record, civic.latest TO ${name}`)
}

async function grantWriting(owner: pg.Client, role: string): Promise<void> {
  const name = owner.escapeIdentifier(role)
  await owner.query(`GRANT INSERT ON civic.record, civic.latest TO ${name}`)
  await owner.query(`GRANT UPDATE (body) ON civic.latest TO ${name}`)
  // without this right, pg_stat_replication shows a role nothing about the standbys
  await owner.query(`GRANT pg_read_all_stats TO ${name}`)
  const { rows } = await owner.query('SELECT pg_catalog.current_database() AS name')
  const place = `${name} IN DATABASE ${owner.escapeIdentifier(rows[0].name)}`
  for (const [setting, value] of settings)
    await owner.query(`ALTER ROLE ${place} SET ${setting} = '${value}'`)
}

/** Time limits, in case the timers of a receiver fail, and settings that keep contents out of the log of the server. */
const settings = [
  ['statement_timeout', '8s'],
  ['lock_timeout', '4s'],
  ['idle_in_transaction_session_timeout', '10s'],
  ['client_min_messages', 'warning'],
  ['log_parameter_max_length', '0'],
] as const
