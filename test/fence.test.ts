/** The last checks of the lock and of the file before and after a batch is written. */
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { batchOf, draftOf } from '../src/records/batch.ts'
import { AssociationFile } from '../src/storage/files/association-file.ts'
import { recordOf, silent } from './faults/stored.ts'
import { scratchDir } from './receiver.ts'

const draft = (name: string) =>
  draftOf(recordOf({ rule: 'append-only', slug: 'heron-ridge', participant: '@5sb-8hm-54v', name, size: 40 }))
const held = (): boolean => true
const lost = (): boolean => false
const now = '2026-06-15T14:32:00.000Z'

async function oneRecord() {
  const directory = scratchDir()
  const file = new AssociationFile(directory, silent)
  await file.open(held)
  assert.equal((await file.append(batchOf([draft('one')], now), held))?.length, 1)
  return { file, path: join(directory, 'records.json') }
}

test('a batch is not written when the lock is lost between the opening and the write', async () => {
  const { file, path } = await oneRecord()
  const before = readFileSync(path)

  assert.equal(await file.append(batchOf([draft('two')], now), lost), undefined)
  assert.deepEqual(readFileSync(path), before)
  await file.close()
})

test('a batch is not written into a file that has changed since it was opened', async () => {
  const { file, path } = await oneRecord()
  appendFileSync(path, 'somebody else was here')
  const before = readFileSync(path)

  assert.equal(await file.append(batchOf([draft('two')], now), held), undefined)
  assert.deepEqual(readFileSync(path), before)
  await file.close()
})

test('a batch whose lock was lost while it was written is not answered, and found by the next opening', async () => {
  const { file, path } = await oneRecord()
  const answers = [true, false]
  assert.equal(await file.append(batchOf([draft('two')], now), () => answers.shift() ?? false), undefined)
  await file.close()

  await file.open(held)
  assert.equal((await file.find(draft('two').id))?.sequence, 2)
  assert.equal((await file.append(batchOf([draft('three')], now), held))?.[0]?.sequence, 3)
  await file.close()
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).length, 3)
})
