/**
 * The peer that does the same work, on PostgreSQL (fsync and synchronous_commit on): one row a request, committed before the
 * answer, behind the receiver's own intake, contract, id and chain (`checked.ts`). Twenty connections, so that the commits of
 * different associations share a flush; within one association each row waits for the one before it, as its chain demands.
 */
import pg from 'pg'
import { alone, checkedApp, type Rows } from './checked.ts'
import { listen } from './listen.ts'

const pool = new pg.Pool({ connectionString: process.env.PEER_URL as string, max: 20 })

const ask = async (
  name: string,
  text: string,
  values: unknown[],
): Promise<pg.QueryResult<{ line: Buffer }>> => pool.query({ name, text, values })

const rows: Rows = {
  async last(association) {
    const text = 'SELECT line FROM appended WHERE association = $1 ORDER BY number DESC LIMIT 1'
    return (await ask('last', text, [association])).rows[0]?.line
  },
  async append({ association, sequence, id, line }) {
    const key = Buffer.from(id, 'hex')
    const text =
      'INSERT INTO appended (association, sequence, id, line) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING'
    if ((await ask('append', text, [association, sequence, key, line])).rowCount === 1) return undefined
    return (await ask('find', 'SELECT line FROM appended WHERE id = $1', [key])).rows[0]?.line
  },
  async overwrite({ association, participant, text: latest }) {
    const text = `INSERT INTO latest (association, participant, text) VALUES ($1, $2, $3)
      ON CONFLICT (association, participant) DO UPDATE SET text = excluded.text`
    await ask('overwrite', text, [association, participant, latest])
  },
}

async function main(): Promise<void> {
  await pool.query(`
    CREATE TABLE IF NOT EXISTS appended (
      number bigserial PRIMARY KEY, association text NOT NULL, sequence bigint NOT NULL, id bytea NOT NULL UNIQUE, line bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS latest (
      association text NOT NULL, participant text NOT NULL, text text NOT NULL, PRIMARY KEY (association, participant));
  `)
  listen(checkedApp(alone(rows)))
}

// A CommonJS bundle allows no await at the top.
void main()
