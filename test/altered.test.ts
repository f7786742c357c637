/** Records files that somebody altered, while no receiver ran or while one did. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { chainOf, fileOf, headPath, rechained, recordsPath } from './disk.ts'
import { post, type StoredEnvelope, storeOn } from './faults/stored.ts'

const damaged = { ok: false, fault: 'damaged' }

const sent = (name: string): StoredEnvelope => ({
  rule: 'append-only',
  slug: 'heron-ridge',
  participant: '@5sb-8hm-54v',
  name,
  size: 40,
})

async function threeRecords() {
  const root = mkdtempSync(join(tmpdir(), 'civic-'))
  const store = storeOn(root)
  for (const name of ['one', 'two', 'three']) assert.ok((await post(store, sent(name))).ok)
  return { root, store, path: recordsPath(root, 'heron-ridge') }
}

test('refuses a file with a forged record inside, chained anew, that is longer than the head file says', async () => {
  const { root, store, path } = await threeRecords()
  await store.close()
  const lines = chainOf(path)
  const altered = fileOf(rechained(lines.toSpliced(1, 0, lines[2] as string)))
  writeFileSync(path, altered)

  const restarted = storeOn(root)
  assert.deepEqual(await post(restarted, sent('four')), damaged)
  await restarted.close()
  assert.deepEqual(readFileSync(path), altered)
})

test('a receiver that knows three records refuses a file with two of them, head file or not', async () => {
  const { store, path } = await threeRecords()
  await store.close()
  const altered = fileOf(rechained(chainOf(path).slice(0, 2)))
  rmSync(headPath(path))
  writeFileSync(path, altered)

  assert.deepEqual(await post(store, sent('four')), damaged)
  await store.close()
  assert.deepEqual(readFileSync(path), altered)
})

test('a receiver that has the file open sees that somebody else wrote to it, and does not write into the middle', async () => {
  const { store, path } = await threeRecords()
  const altered = fileOf(rechained(chainOf(path).slice(1)))
  writeFileSync(path, altered)

  assert.deepEqual(await post(store, sent('four')), damaged)
  await store.close()
  assert.deepEqual(readFileSync(path), altered)
})

test('when the open file of a receiver was replaced by an equal file, the next record is in the new file', async () => {
  const { store, path } = await threeRecords()
  const bytes = readFileSync(path)
  rmSync(path)
  writeFileSync(path, bytes)

  assert.ok((await post(store, sent('four'))).ok)
  await store.close()
  assert.equal(chainOf(path).length, 4)
})

test('a longer file that took the place of the open one is read from its start: an altered record in it is found', async () => {
  const { root, store, path } = await threeRecords()
  const other = storeOn(root)
  assert.ok((await post(other, sent('four'))).ok)
  await other.close()
  const altered = readFileSync(path, 'latin1').replace(/"received_at":"20/, '"received_at":"19')
  assert.notEqual(altered, readFileSync(path, 'latin1'))
  rmSync(path)
  writeFileSync(path, altered, 'latin1')

  assert.deepEqual(await post(store, sent('five')), damaged)
  await store.close()
  assert.equal(readFileSync(path, 'latin1'), altered)
})

test('a duplicate is not answered from an open file that was removed', async () => {
  const { store, path } = await threeRecords()
  rmSync(path)

  assert.deepEqual(await post(store, sent('two')), damaged)
  await store.close()
})
