/** When the start of a store has ended, its repairs are on the disk, not only in the page cache. */
import assert from 'node:assert/strict'
import fs, { readlinkSync, statSync, truncateSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { test } from 'node:test'
import { chainOf, recordsPath } from './disk.ts'
import { scn01, scratchDir } from './receiver.ts'

// These are replaced before the modules under test are loaded. Each makes the real call and notes the path of the file.
const { fdatasync, ftruncateSync } = fs
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
