/** What the start mends is on the disk, not only in the page cache, when the start has ended. */
import assert from 'node:assert/strict'
import fs, { readlinkSync, statSync, truncateSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { test } from 'node:test'
import { chainOf, recordsPath } from './disk.ts'
import { scn01, scratchDir } from './receiver.ts'

// before the modules under test take hold of it: what each call is made on, and then the real call
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

test('a torn file that nobody posts to is cut and then synced by the start', async () => {
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
