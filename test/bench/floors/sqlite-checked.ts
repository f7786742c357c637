/**
 * The peer that does the same work, on SQLite (WAL, synchronous=FULL): one row a request, committed before the answer, behind the
 * receiver's own intake, contract, id and chain (`checked.ts`). Only the id has a unique index, because a retry has to be found.
 */
import { alone, checkedApp, type Rows } from './checked.ts'
import { listen } from './listen.ts'
import { openPeer } from './peer-database.ts'

type LineRow = { readonly line: Uint8Array } | undefined

const db = openPeer(`
  CREATE TABLE IF NOT EXISTS appended (
    number INTEGER PRIMARY KEY, association TEXT NOT NULL, sequence INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, line BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS latest (
    association TEXT NOT NULL, participant TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (association, participant));
`)
const lastOf = db.prepare('SELECT line FROM appended WHERE association = ? ORDER BY number DESC LIMIT 1')
const byId = db.prepare('SELECT line FROM appended WHERE id = ?')
const insert = db.prepare(
  'INSERT INTO appended (association, sequence, id, line) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
)
const upsert = db.prepare(`
  INSERT INTO latest (association, participant, text) VALUES (?, ?, ?)
  ON CONFLICT (association, participant) DO UPDATE SET text = excluded.text`)

const rows: Rows = {
  last: (association) => (lastOf.get(association) as LineRow)?.line,
  append({ association, sequence, id, line }) {
    const key = Buffer.from(id, 'hex')
    const { changes } = insert.run(association, sequence, key, line)
    return changes === 1 ? undefined : (byId.get(key) as LineRow)?.line
  },
  overwrite: ({ association, participant, text }) => void upsert.run(association, participant, text),
}

listen(checkedApp(alone(rows)))
