/** Which files the start removes, which it leaves, and that it logs what it removes. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { chainOf, recordsPath, tornOf } from './disk.ts'
import { isRoot } from './needs.ts'
import { scn01, scratchDir } from './receiver.ts'
import { put, quiet, stored, storeIn } from './records.ts'
import { audit } from './said.ts'

const longAgo = Date.now() / 1000 - 21
const aWhileAgo = Date.now() / 1000 - 10

/** Makes files. The files in `old` are older than any request can be. */
function make(directory: string, old: readonly string[], fresh: readonly string[] = []): void {
  mkdirSync(directory, { recursive: true })
  for (const name of [...old, ...fresh]) writeFileSync(join(directory, name), '{}', { mode: 0o640 })
  for (const name of old) utimesSync(join(directory, name), longAgo, longAgo)
}

/** Starts a store and gives the names that it reports as removed. */
async function started(root: string): Promise<string[]> {
  const removed: string[] = []
  const store = storeIn(root, {
    ...quiet,
    info: (fields, message) => {
      const { directory, name } = fields as { directory: string; name: string }
      if (message === 'a leftover was removed') removed.push(join(directory, name))
    },
  })
  await store.start()
  await store.close()
  return removed.sort()
}

test('the start removes temporaries of this program that are older than any request, and says so', async () => {
  const root = scratchDir()
  const directory = join(root, 'vs01/heron-ridge')
  make(directory, ['a.json', '.tmp-12-0123456789ab', '.tmp-12-0123456789ab.4711'], ['.tmp-13-0123456789ab'])
  make(root, ['.tmp-14-0123456789ab'])
  // Another receiver may still be writing this file, because its request has 10 s.
  make(directory, [], ['.tmp-15-0123456789ab'])
  utimesSync(join(directory, '.tmp-15-0123456789ab'), aWhileAgo, aWhileAgo)
  assert.deepEqual(await started(root), [
    '.tmp-14-0123456789ab',
    'vs01/heron-ridge/.tmp-12-0123456789ab',
    'vs01/heron-ridge/.tmp-12-0123456789ab.4711',
  ])
  assert.deepEqual(readdirSync(directory).sort(), ['.tmp-13-0123456789ab', '.tmp-15-0123456789ab', 'a.json'])
})

test('files that an operator has put beside the records are left, whatever their age, and the auditor names them', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  await stored(store, scn01())
  await store.close()
  const beside = ['records.json.1', 'records.json.20261126', '.tmp-note', 'records.json~']
  make(dirname(recordsPath(root)), beside)
  const placekeys = ['22c@5sb-8hm-54v.json.2', '22c@5sb-8hm-54v.json.bak']
  make(join(root, 'vs01/heron-ridge'), placekeys)
  assert.deepEqual(await started(root), [])
  const { exit, out } = await audit('verify', '--data', root)
  assert.equal(exit, 1)
  for (const name of [...beside, ...placekeys]) assert.ok(out.includes(`heron-ridge/${name}`), name)
})

test('the start removes the index files of version 1.0, and the auditor does not report them', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  await stored(store, scn01())
  await store.close()
  make(dirname(recordsPath(root)), ['.records.index', '.records.index.1234'])
  const { exit, out } = await audit('verify', '--data', root)
  assert.equal(exit, 0, out)
  assert.deepEqual(await started(root), [
    'scn01/heron-ridge/.records.index',
    'scn01/heron-ridge/.records.index.1234',
  ])
})

test('a torn end for whose copy the disk has no room leaves no part of a copy, and is kept when there is room', {
  skip: !isRoot && 'needs root for a small tmpfs',
}, async () => {
  const root = scratchDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'civic-test', root])
  try {
    const store = storeIn(root)
    await stored(store, scn01())
    await store.close()
    const path = recordsPath(root)
    const size = readFileSync(path).length
    truncateSync(path, size - 3)
    writeFileSync(path, `,\n{"narrative":"${'half a record '.repeat(600)}`, { flag: 'a' })
    const filler = join(root, 'filler')
    // One page of the tmpfs is left, enough for the lock and a name, but not for the two pages of torn bytes.
    assert.throws(() => writeFileSync(filler, Buffer.alloc(128 * 1024)), { code: 'ENOSPC' })
    const full = storeIn(root)
    for (let attempt = 0; attempt < 3; attempt++)
      assert.deepEqual(await put(full, scn01({ narrative: 'next' })), { ok: false, fault: 'full' })
    assert.deepEqual(tornOf(path), [])
    execFileSync('rm', [filler])
    await stored(full, scn01({ narrative: 'next' }))
    await full.close()
    assert.equal(chainOf(path).length, 2)
    assert.equal(tornOf(path).length, 1)
  } finally {
    execFileSync('umount', [root])
  }
})
