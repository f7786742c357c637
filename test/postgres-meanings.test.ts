/** What the PostgreSQL store makes of the facts and errors of a server, without a server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Facts, unfit } from '../src/storage/postgres/facts.ts'
import { meaningOf } from '../src/storage/postgres/fault.ts'
import { schemaVersion } from '../src/storage/postgres/prepare.ts'

const fit: Facts = {
  isStandby: false,
  system: '7123',
  timeline: 1,
  backend: { pid: 1, began: '' },
  clock: 0,
  encoding: 'UTF8',
  commit: 'on',
  fsync: 'on',
  fullPageWrites: 'on',
  version: schemaVersion,
}

test('a server that may not store records is named by what is wrong with it', () => {
  assert.equal(unfit(fit), undefined)
  assert.equal(unfit({ ...fit, commit: 'remote_apply' }), undefined)
  const wrong: [Partial<Facts>, RegExp][] = [
    [{ isStandby: true }, /a standby/],
    [{ version: undefined }, /no tables for this role/],
    [{ version: schemaVersion + 1 }, /another version/],
    [{ encoding: 'SQL_ASCII' }, /encoding is not UTF8/],
    [{ commit: 'off' }, /synchronous_commit/],
    [{ commit: 'remote_write' }, /synchronous_commit/],
    [{ fsync: 'off' }, /fsync or full_page_writes/],
    [{ fullPageWrites: 'off' }, /fsync or full_page_writes/],
  ]
  for (const [facts, said] of wrong) assert.match(unfit({ ...fit, ...facts }) as string, said)
})

test('an error says that another writer was first only where it is about a place or a new association', () => {
  const duplicate = (constraint: string) => ({ code: '23505', constraint })
  const lost = { kind: 'lost', byAnother: true }
  for (const constraint of ['record_place', 'association_pkey'])
    assert.deepEqual(meaningOf(duplicate(constraint)), lost)
  assert.deepEqual(meaningOf(duplicate('record_id')), { ...lost, byAnother: false })
  for (const code of ['CV001', '40001', '40P01']) assert.deepEqual(meaningOf({ code }), lost)
  assert.equal(meaningOf(duplicate('another')).kind, 'fault')
  for (const code of ['08006', '57P01', '25006', '25P03', '25P04'])
    assert.equal(meaningOf({ code }).kind, 'broken')
})
