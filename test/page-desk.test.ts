/** The desk of the page's worker: its answers while it is still reading the files. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Columns, everything } from '../src/audit/page/columns.ts'
import { Desk } from '../src/audit/page/desk.ts'
import { judgeIn } from '../src/audit/page/engine.ts'
import { sha256Of } from '../src/audit/page/sha256.ts'
import { sha256 } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { recordCount, wholeDirectory } from './variants.ts'

const place = { addon: 'scn01', slug: 'plum-grove-21' }

test('two questions at once about the same association, such as a view left early, are both answered rightly', async () => {
  const scratch = scratchDir()
  const root = join(scratch, 'data')
  mkdirSync(root)
  const { records } = wholeDirectory(root)
  const file = new Blob([readFileSync(records)])
  const desk = new Desk('test', () => {})
  await desk.open([{ path: 'data/scn01/plum-grove-21/records.json', file, changedMs: 0 }])
  await desk.check([], judgeIn(desk.files))
  const asked = [everything, { ...everything, standing: 'participant' }]
  for (const { rows, total } of await Promise.all(asked.map((filter) => desk.find(place, filter)))) {
    assert.equal(total, recordCount)
    assert.deepEqual(
      rows,
      Array.from({ length: recordCount }, (_, index) => index),
    )
  }
})

test('a Scenario is filtered by its whole id, blanks and line feeds included', () => {
  const columns = new Columns()
  const link = { offset: 0, length: 1, line: 2, sequence: 1, received_at: '2026-01-01T00:00:00.000Z' }
  const pins = [['roof repair', 'fees'], ['roof'], ['fees\nroof']]
  for (const pinned_scenario_ids of pins) {
    columns.add({ ...link, sha256: '', previous_sha256: '', id: '' })
    columns.describe({ pinned_scenario_ids })
  }
  assert.deepEqual(columns.choices.scenarios, ['fees', 'fees\nroof', 'roof', 'roof repair'])
  for (const [scenario, rows] of [
    ['roof', [1]],
    ['roof repair', [0]],
    ['fees', [0]],
    ['fees\nroof', [2]],
  ] as const)
    assert.deepEqual(columns.passing({ ...everything, scenario }), rows)
})

test('the hash of a file that is longer than what is read at once is over all its bytes', async () => {
  const bytes = Buffer.alloc(64 * 1024 * 1024 + 3, 'civic')
  const source = { read: async (from: number, to: number) => bytes.subarray(from, to) }
  for (const size of [5, bytes.length])
    assert.equal(await sha256Of(source, size), sha256(bytes.subarray(0, size)))
})
