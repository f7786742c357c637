/**
 * What an import sends. It is made as a superuser, with the triggers on: they verify each chain once more.
 *
 * `civic.state.importing` is set, and that is committed, before the first row is stored, and taken back after the last one was
 * compared. While it is set the trigger refuses every receiver. So what an import that was broken off leaves is neither empty
 * nor taken for whole, and the next import removes it.
 */
import type { Connection, Statement } from './connection.ts'
import { insertBodiesOf, type Latest } from './statements.ts'

/** Any number; two imports ask for the same one. */
const importLock = 427_191_541_091
const lockWait = "SET lock_timeout = '5s'"

/** Why it cannot begin, or what it found. */
export type Begun = 'empty' | 'broken off before' | 'not empty' | 'another import'

/**
 * Takes the tables for this import. Whoever is storing at this moment has either committed, and then they are not empty, or
 * waits until this is committed, and is refused.
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

/** The bodies go into an empty table: nothing is there to be replaced. */
export async function insertBodies(connection: Connection, bodies: readonly Latest[]): Promise<void> {
  const values = bodies.flatMap(({ addon, association_slug, participant_id, body }) => [
    addon,
    association_slug,
    participant_id,
    body,
  ])
  await connection.run(insertBodiesOf(bodies.length), values)
}

export type Count = { readonly count: number; readonly sha256: string }

/** What is in the tables now: the head of each association by `<addon>/<slug>`, and how many bodies there are. */
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

/** From now on receivers may store. */
export async function endImport(connection: Connection): Promise<void> {
  await connection.run({ text: 'UPDATE civic.state SET importing = false' })
}
