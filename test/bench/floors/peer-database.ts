/** The SQLite of a peer. better-sqlite3 is not a dependency of the project; it lies in the folder that PEER names. */
import { createRequire } from 'node:module'
import { join } from 'node:path'

type Statement = {
  run(...values: readonly unknown[]): { readonly lastInsertRowid: number | bigint; readonly changes: number }
  get(...values: readonly unknown[]): unknown
}
type Database = { pragma(text: string): unknown; exec(sql: string): unknown; prepare(sql: string): Statement }

/** Opens a database below DATA_DIR with WAL and synchronous=FULL, so that a statement returns when its data is on disk. */
export function openPeer(schema: string): Database {
  const load = createRequire(join(process.env.PEER as string, 'package.json'))
  const Sqlite = load('better-sqlite3') as new (path: string) => Database
  const db = new Sqlite(join(process.env.DATA_DIR as string, 'peer.sqlite'))
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.exec(schema)
  return db
}
