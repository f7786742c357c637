/**
 * The peer: what an engineer would reach for instead. The same Hono server; the body parsed as JSON; one row per
 * request, committed before the answer, in SQLite with WAL and synchronous=FULL. Overwrites are upserts by Placekey.
 * No token, no validation beyond JSON, no chain, no duplicates, no log line.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

type Statement = { run(...values: readonly unknown[]): { readonly lastInsertRowid: number | bigint } }
type Database = { pragma(text: string): unknown; exec(sql: string): unknown; prepare(sql: string): Statement }

/** Not a dependency of the project: it stands in the folder that PEER names, and may be missing. */
const load = createRequire(join(process.env.PEER as string, 'package.json'))
const Sqlite = load('better-sqlite3') as new (path: string) => Database

const db = new Sqlite(join(process.env.DATA_DIR as string, 'peer.sqlite'))
db.pragma('journal_mode = WAL')
db.pragma('synchronous = FULL')
db.exec(`
  CREATE TABLE IF NOT EXISTS appended (
    id INTEGER PRIMARY KEY, association TEXT NOT NULL, received_at TEXT NOT NULL, envelope TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS latest (
    association TEXT NOT NULL, participant TEXT NOT NULL, received_at TEXT NOT NULL, envelope TEXT NOT NULL,
    PRIMARY KEY (association, participant));
`)
const append = db.prepare('INSERT INTO appended (association, received_at, envelope) VALUES (?, ?, ?)')
const overwrite = db.prepare(`
  INSERT INTO latest (association, participant, received_at, envelope) VALUES (?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET received_at = excluded.received_at, envelope = excluded.envelope`)

const app = new Hono()
app.post('/receive', async (c) => {
  const text = await c.req.text()
  const { addon, association_slug, participant_id } = JSON.parse(text) as Record<string, unknown>
  const receivedAt = new Date().toISOString()
  if (addon !== 'scn01') {
    overwrite.run(association_slug, participant_id, receivedAt, text)
    return c.json({ status: 'stored', received_at: receivedAt }, 201)
  }
  const { lastInsertRowid } = append.run(association_slug, receivedAt, text)
  return c.json({ status: 'stored', received_at: receivedAt, id: Number(lastInsertRowid) }, 201)
})

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(process.env.PORT) })
