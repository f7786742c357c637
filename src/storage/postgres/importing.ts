/**
 * The statements of an import. An import runs as a superuser, but with the triggers, which verify each chain once more.
 *
 * `civic.state.importing` is set and committed before the first row is stored, and reset after the last row was compared. While
 * it is set, the trigger refuses every receiver. So nobody takes the tables of an interrupted import for whole, and the next
 * import empties them.
 */
import type { Connection, Statement } from './connection.ts'

/** The number of the lock that lets only one import run; any number will do. */
const importLock = 427_191_541_091
const lockWait = "SET lock_timeout = '5s'"

/** The state of the tables; `empty` and `broken off before` let an import begin. */
export type Begun = 'empty' | 'broken off before' | 'not empty' | 'another import'

/**
 * Takes the tables for this import. A receiver that is storing at this moment has either committed, and then the tables are not
 * empty; or it waits until this transaction is committed, and is then refused.
 */
export async function beginImport(connection: Connection): Promise<Begun> {
  await connection.run({ text: lockWait })
  const [lock] = await connection.run({ text: 'SELECT pg_try_advisory_lock($1::bigint) AS had' }, [
    importLock,
  ])
  if (lock?.had !== true) return 'another import'
  await connection.run({ text: 'BEGIN' })
  await connection.run({
    text: 'LOCK TABLE civic.association, civic.record, civic.latest IN ACCESS EXCLUSIVE MODE',
  })
  const [found] = await connection.run(lookAround)
  if (found?.importing !== true && found?.holds === true) {
    await connection.run({ text: 'ROLLBACK' })
    return 'not empty'
  }
  if (found?.holds === true)
    await connection.run({ text: 'TRUNCATE civic.association, civic.record, civic.latest' })
  await connection.run({ text: 'UPDATE civic.state SET importing = true' })
  await connection.run({ text: 'COMMIT' })
  return found?.importing === true ? 'broken off before' : 'empty'
}

const lookAround: Statement = {
  text: `SELECT importing, EXISTS (SELECT FROM civic.association) OR EXISTS (SELECT FROM civic.record)
    OR EXISTS (SELECT FROM civic.latest) AS holds FROM civic.state`,
}

export type Count = { readonly count: number; readonly sha256: string }

/** The heads of the associations in the tables, by `<addon>/<slug>`, and the number of records without history. */
export async function importedSoFar(
  connection: Connection,
): Promise<{ readonly heads: ReadonlyMap<string, Count>; readonly bodies: number }> {
  const rows = await connection.run({ text: 'SELECT addon, slug, count, sha256 FROM civic.association' })
  const [latest] = await connection.run({ text: 'SELECT count(*) FROM civic.latest' })
  const heads = rows.map(
    ({ addon, slug, count, sha256 }) =>
      [`${addon}/${slug}`, { count: Number(count), sha256: String(sha256) }] as const,
  )
  return { heads: new Map(heads), bodies: Number(latest?.count) }
}

/** Ends the import. From now on receivers may store. */
export async function endImport(connection: Connection): Promise<void> {
  await connection.run({ text: 'UPDATE civic.state SET importing = false' })
}
