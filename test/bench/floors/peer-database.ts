/** The SQLite of a peer. better-sqlite3 is not a dependency of the project: it stands in the folder that PEER names. */
import { createRequire } from 'node:module'
import { join } from 'node:path'

type Statement = {
  run(...values: readonly unknown[]): { readonly lastInsertRowid: number | bigint; readonly changes: number }
  get(...values: readonly unknown[]): unknown
}
type Database = { pragma(text: string): unknown; exec(sql: string): unknown; prepare(sql: string): Statement }

/** A database below DATA_DIR that is on disk when a statement returns: WAL, synchronous=FULL. */
export function openPeer(schema: string): Database {
  const load = createRequire(join(process.env.PEER as string, 'package.json'))
  const Sqlite = load('better-sqlite3') as new (path: string) => Database
  const db = new Sqlite(join(process.env.DATA_DIR as string, 'peer.sqlite'))
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.exec(schema)
  return db
}
