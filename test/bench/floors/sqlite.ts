/**
 * The peer that checks nothing. It is a floor for SQLite and does not do the same work as the receiver. The same Hono server; the body parsed as JSON; one row per
 * request, committed before the answer, in SQLite with WAL and synchronous=FULL. Overwrites are upserts by Placekey.
 * No token, no validation beyond JSON, no chain, no duplicates, no log line.
 */
import { Hono } from 'hono'
import { listen } from './listen.ts'
import { openPeer } from './peer-database.ts'

const db = openPeer(`
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

listen(app)
