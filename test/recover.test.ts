/**
 * When the start of a store has ended, its repairs are on the disk, not only in the page cache. An envelope that replaces another one is
 * on the disk before it gets the name.
 */
import assert from 'node:assert/strict'
import fs, { readlinkSync, statSync, truncateSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { test } from 'node:test'
import { chainOf, recordsPath } from './disk.ts'
import { scn01, scratchDir, vs01 } from './receiver.ts'

// These are replaced before the modules under test are loaded. Each makes the real call and notes the path of the file.
const { fdatasync, fsync, ftruncateSync, rename } = fs
const calls: string[] = []
const note = (call: string, fd: number): number =>
  calls.push(`${call} ${readlinkSync(`/proc/self/fd/${fd}`)}`)
fs.ftruncateSync = (fd, length) => {
  ftruncateSync(fd, length)
  note('truncated', fd)
}
fs.fdatasync = ((fd: number, done: fs.NoParamCallback) => {
  note('synced', fd)
  fdatasync(fd, done)
}) as typeof fdatasync
// An fsync is noted when it has ended, because the bytes are on the disk only then.
fs.fsync = ((fd: number, done: fs.NoParamCallback) => {
  const path = readlinkSync(`/proc/self/fd/${fd}`)
  fsync(fd, (error) => {
    calls.push(`fsynced ${path}`)
    done(error)
  })
}) as typeof fsync
fs.rename = ((from: string, to: string, done: fs.NoParamCallback) => {
  calls.push(`renamed ${from}`)
  rename(from, to, done)
}) as typeof rename
syncBuiltinESMExports()
const { stored, storeIn } = await import('./records.ts')

test('a torn file to which nobody posts is cut and then synced by the start', async () => {
  const root = scratchDir()
  const first = storeIn(root)
  await stored(first, scn01())
  await first.close()
  const path = recordsPath(root)
  truncateSync(path, statSync(path).size - 1)
  calls.length = 0
  const second = storeIn(root)
  await second.start()
  await second.close()
  assert.equal(chainOf(path).length, 1)
  const cut = calls.indexOf(`truncated ${path}`)
  assert.ok(cut !== -1, calls.join())
  assert.ok(calls.indexOf(`synced ${path}`, cut) > cut, calls.join())
})

test('an envelope that replaces another one is on the disk before it gets the name', async () => {
  const store = storeIn(scratchDir())
  await stored(store, vs01())
  calls.length = 0
  await stored(store, vs01({ fields: { note: 'the second' } }))
  await store.close()
  const renamed = calls.findIndex((call) => call.startsWith('renamed '))
  assert.ok(renamed !== -1, calls.join())
  const synced = calls.indexOf(calls[renamed]!.replace('renamed', 'fsynced'))
  assert.ok(synced !== -1 && synced < renamed, calls.join())
})
