/** The file store for overwritten records: invariants 1 to 4 of src/storage/files/overwrite.ts. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isRoot } from './needs.ts'
import { scratchDir, vs01 } from './receiver.ts'
import { put, stored, storeIn } from './records.ts'

const file = (root: string): string => join(root, 'vs01/heron-ridge/SASE1-22c-at-5sb-8hm-54v.json')
const fieldsIn = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8')).fields

test('overwrite (1): the file is the last envelope, whole, as indented JSON with a receipt and a final line feed', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  assert.equal((await stored(store, vs01({ fields: { first: 1 } }))).outcome, 'created')
  const receipt = await stored(
    store,
    vs01({ fields: { second: ['a', { b: 'line\nfeed' }] }, 'x-extra': { '': null } }),
  )
  await store.close()
  assert.equal(receipt.outcome, 'replaced')
  const text = readFileSync(file(root), 'utf8')
  const expected = {
    ...vs01({ fields: { second: ['a', { b: 'line\nfeed' }] }, 'x-extra': { '': null } }),
    receipt: { received_at: receipt.received_at },
  }
  assert.deepEqual(JSON.parse(text), expected)
  assert.equal(text.at(-1), '\n')
  assert.ok(text.includes('\n    "second": [\n'))
})

test('members are written in the order of the contract and unknown ones after them, also those whose names are numbers', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  await stored(store, vs01({ 10: 'a', b: 'c', 9: { d: 1 } }))
  await store.close()
  const names = [...readFileSync(file(root), 'utf8').matchAll(/^ {2}"(.+?)":/gm)].map(([, name]) => name)
  assert.equal(names[0], 'addon')
  assert.deepEqual(names.slice(-4), ['9', '10', 'b', 'receipt'])
})

test('overwrite (3): of a hundred envelopes that arrive together the last one stays', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const receipts = await Promise.all(
    Array.from({ length: 100 }, (_, n) => stored(store, vs01({ fields: { n } }))),
  )
  await store.close()
  assert.deepEqual(fieldsIn(file(root)), { n: 99 })
  assert.equal(receipts.filter(({ outcome }) => outcome === 'created').length, 1)
})

test('overwrite (4): nothing but the record is in the directory afterwards', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  for (let n = 0; n < 5; n++) await stored(store, vs01({ fields: { n } }))
  await store.close()
  assert.deepEqual(readdirSync(join(root, 'vs01/heron-ridge')), ['SASE1-22c-at-5sb-8hm-54v.json'])
  assert.equal(statSync(file(root)).mode & 0o7777, 0o640)
  assert.equal(statSync(join(root, 'vs01/heron-ridge')).mode & 0o7777, 0o2750)
})

test('a directory that was removed meanwhile is made again', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  await stored(store, vs01())
  execFileSync('rm', ['-r', join(root, 'vs01')])
  await put(store, vs01())
  await stored(store, vs01({ fields: { again: true } }))
  await store.close()
  assert.deepEqual(fieldsIn(file(root)), { again: true })
})

test('on a full disk the old content stands, the answer is `full`, and it goes on when there is room', {
  skip: !isRoot && 'needs root for a small tmpfs',
}, async () => {
  const root = scratchDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'civic-test', root])
  try {
    const store = storeIn(root)
    const filler = join(root, 'filler')
    await stored(store, vs01({ fields: { old: 'x'.repeat(20_000) } }))
    const before = readFileSync(file(root))
    let refused = 0
    for (let left = 200; left > 0; left -= 12) {
      writeFileSync(filler, Buffer.alloc(Math.max((256 - 24 - left) * 1024, 0)))
      const outcome = await put(store, vs01({ fields: { large: 'y'.repeat(120_000) } }))
      if (outcome.ok) {
        execFileSync('rm', [filler])
        await stored(store, vs01({ fields: { old: 'x'.repeat(20_000) } }))
        continue
      }
      refused++
      assert.equal(outcome.fault, 'full')
      assert.deepEqual(fieldsIn(file(root)), JSON.parse(before.toString()).fields)
      assert.deepEqual(readdirSync(join(root, 'vs01/heron-ridge')), ['SASE1-22c-at-5sb-8hm-54v.json'])
    }
    assert.ok(refused > 3, `${refused} refusals`)
    if (existsSync(filler)) execFileSync('rm', [filler])
    await stored(store, vs01({ fields: { large: 'y'.repeat(120_000) } }))
    await store.close()
  } finally {
    execFileSync('umount', [root])
  }
})
