/** Makes rows as a receiver inserts them, for tests that talk to the database in its place. */
import type pg from 'pg'
import { assemble, draftOf } from '../../src/records/batch.ts'
import { noHash } from '../../src/records/position.ts'
import { sha256Hex } from '../../src/records/sha256.ts'
import { scn01 } from '../receiver.ts'
import { accepted } from '../records.ts'

export type TableRow = {
  readonly addon: string
  readonly slug: string
  readonly sequence: number
  readonly id: Buffer
  readonly line: Buffer
}

export type Head = { readonly count: number; readonly sha256: string }

export const noHead: Head = { count: 0, sha256: noHash }

/** A chain of records after a head, one for each narrative. */
export function rowsAfter(
  head: Head,
  narratives: readonly string[],
  { slug = 'heron-ridge', receivedAt = new Date().toISOString() } = {},
): TableRow[] {
  const drafts = narratives.map((narrative) =>
    draftOf(accepted(scn01({ narrative, association_slug: slug }))),
  )
  const { bytes, records } = assemble({ ...head, end: 0 }, false, drafts, receivedAt)
  return records.map(({ id, sequence, offset }) => {
    const line = Buffer.from(bytes.subarray(offset, bytes.indexOf(10, offset)))
    const whole = line.at(-1) === 44 ? line.subarray(0, -1) : line
    return { addon: 'scn01', slug, sequence, id: Buffer.from(id, 'hex'), line: whole }
  })
}

export function headAfter(rows: readonly TableRow[]): Head {
  const last = rows.at(-1) as TableRow
  return { count: last.sequence, sha256: sha256Hex(last.line) }
}

export async function insert(client: pg.Client, rows: readonly TableRow[]): Promise<void> {
  const values = rows.map(
    (_row, at) => `($${at * 5 + 1}, $${at * 5 + 2}, $${at * 5 + 3}, $${at * 5 + 4}, $${at * 5 + 5})`,
  )
  await client.query(
    `INSERT INTO civic.record (addon, slug, sequence, id, line) VALUES ${values.join(', ')}`,
    rows.flatMap(({ addon, slug, sequence, id, line }) => [addon, slug, sequence, id, line]),
  )
}
