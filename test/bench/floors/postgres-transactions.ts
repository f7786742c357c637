/**
 * The peer that several processes may run at once, as the receiver on PostgreSQL may, and for which the database checks the same: the same
 * tables, role, triggers and statements, but one transaction a request. It remembers no head: it reads the head of the association each time,
 * chains the record behind it and inserts it; if another process was first, it begins again. The intake, contract, id and chain are the receiver's own (`checked.ts`), and
 * there are twenty connections, as for the peer that only one process may run.
 *
 * Left out, in the peer's favour, besides what `checked.ts` leaves out: the checks of clocks, of warnings, of the standby, and of who was
 * promoted last.
 */
import pg from 'pg'
import type { Draft } from '../../../src/records/batch.ts'
import { meaningOf } from '../../../src/storage/postgres/fault.ts'
import {
  type AssociationName,
  barrier,
  chainBehind,
  insertLines,
  lookFor,
  type Runner,
  recordKeyOf,
  replaceAll,
  type StoredLine,
  type TableHead,
} from '../../../src/storage/postgres/statements.ts'
import { checkedApp, type Latest, type Receipt } from './checked.ts'
import { listen } from './listen.ts'

const patienceMs = 9_000
const pool = new pg.Pool({ connectionString: process.env.PEER_URL as string, max: 20 })
const database: Runner = {
  run: async (statement, values = []) => (await pool.query({ ...statement, values: [...values] })).rows,
}

/** The last request of each association. Requests of one process do not race each other. */
const turns = new Map<string, Promise<unknown>>()

function append(association: string, draft: Draft): Promise<Receipt> {
  const here = (turns.get(association) ?? Promise.resolve()).then(() => appendNow(association, draft))
  turns.set(
    association,
    here.catch(() => {}),
  )
  return here
}

async function appendNow(association: string, draft: Draft): Promise<Receipt> {
  const of = nameIn(association)
  for (;;) {
    const { heads, stored } = await lookFor(database, [{ of, id: draft.id }])
    const found = stored.get(recordKeyOf(association, draft.id))
    if (found) {
      await barrier(database)
      return receiptOf(found)
    }
    const head = heads.get(association) as TableHead
    const receivedAt = [new Date().toISOString(), head.receivedAt].sort()[1] as string
    const { lines, records } = chainBehind(of, head, [draft], receivedAt)
    try {
      await insertLines(database, lines)
      return receiptOf(records[0] as StoredLine)
    } catch (error) {
      if (meaningOf(error).kind !== 'lost') throw error
    }
  }
}

async function overwrite({ association, participant, text }: Latest): Promise<void> {
  const body = Buffer.from(text)
  const latest = { ...nameIn(association), participant_id: participant, body }
  const { size } = await replaceAll(database, [latest], new Date(Date.now() + patienceMs))
  if (size !== 1) throw new Error('the overwrite came too late')
}

function nameIn(association: string): AssociationName {
  const [addon, association_slug] = association.split('/') as [string, string]
  return { addon, association_slug }
}

function receiptOf({ id, sequence, sha256, previous_sha256 }: StoredLine): Receipt {
  return { id, sequence, record_sha256: sha256, previous_sha256 }
}

listen(checkedApp({ append, overwrite }))
