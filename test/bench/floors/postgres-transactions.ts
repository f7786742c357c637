/**
 * The peer that several processes may run at once, as the receiver on PostgreSQL may: one transaction a request, which locks the
 * head of the association in the database, chains the record behind it and moves it. The intake, contract, id and chain are the
 * receiver's own (`checked.ts`), and there are twenty connections, as for the peer that only one process may run.
 *
 * Left out, in the peer's favour: the database checks nothing. A peer that was taken over could edit and fork every chain.
 */
import pg from 'pg'
import type { Draft } from '../../../src/records/batch.ts'
import { noHash } from '../../../src/records/position.ts'
import { checkedApp, type Head, lineBehind, type Receipt, receiptIn } from './checked.ts'
import { listen } from './listen.ts'

const pool = new pg.Pool({ connectionString: process.env.PEER_URL as string, max: 20 })

async function append(association: string, draft: Draft): Promise<Receipt> {
  const client = await pool.connect()
  try {
    await client.query({ name: 'begin', text: 'BEGIN' })
    const receipt = await appendIn(client, association, draft)
    await client.query({ name: 'commit', text: 'COMMIT' })
    return receipt
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

async function appendIn(client: pg.PoolClient, association: string, draft: Draft): Promise<Receipt> {
  const id = Buffer.from(draft.id, 'hex')
  const { line, head } = lineBehind(await lockedHead(client, association), draft)
  const added = await client.query({
    name: 'append',
    text: 'INSERT INTO appended (association, sequence, id, line) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING',
    values: [association, head.count, id, line],
  })
  if (added.rowCount === 0) {
    const text = 'SELECT line FROM appended WHERE id = $1'
    return receiptIn((await client.query({ name: 'find', text, values: [id] })).rows[0].line)
  }
  const text = 'UPDATE head SET count = $2, sha256 = $3 WHERE association = $1'
  await client.query({ name: 'move', text, values: [association, head.count, head.sha256] })
  return receiptIn(line, head.sha256)
}

async function lockedHead(client: pg.PoolClient, association: string): Promise<Head> {
  const text = 'SELECT count::int, sha256 FROM head WHERE association = $1 FOR UPDATE'
  const lock = async (): Promise<Head | undefined> =>
    (await client.query({ name: 'lock', text, values: [association] })).rows[0]
  const found = await lock()
  if (found) return found
  const first = 'INSERT INTO head VALUES ($1, 0, $2) ON CONFLICT DO NOTHING'
  await client.query({ name: 'first', text: first, values: [association, noHash] })
  return (await lock()) as Head
}

async function main(): Promise<void> {
  await pool.query(`
    CREATE TABLE IF NOT EXISTS head (association text PRIMARY KEY, count bigint NOT NULL, sha256 text NOT NULL);
    CREATE TABLE IF NOT EXISTS appended (
      association text NOT NULL, sequence bigint NOT NULL, id bytea NOT NULL UNIQUE, line bytea NOT NULL,
      PRIMARY KEY (association, sequence));
  `)
  listen(
    checkedApp({
      append,
      overwrite: () => {
        throw new Error('an overwrite is one statement, and so a transaction, for the other peer, too')
      },
    }),
  )
}

// a bundle as CommonJS has no await at the top
void main()
