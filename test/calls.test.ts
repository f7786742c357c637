/**
 * Counts the system calls of one request while nothing else happens, which is how a Hubzilla node posts. Counts of calls, unlike times, are
 * the same on a busy machine. Calls that wake a thread are left out, because their number is a matter of chance.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { callsDuring, callsIn } from './bench/calls.ts'
import { recordsPath } from './disk.ts'
import { missingHere } from './needs.ts'
import { type Receiver, scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'

const missing = missingHere(['strace'])
const options = { skip: missing === undefined ? false : `needs ${missing}` }
/** Waits until the work after a start has ended. The second survey comes only after 30 s. */
const isReleased = async (path: string): Promise<void> => {
  while (existsSync(path)) await sleep(10)
}

/** Sends one post on a connection of its own, and gives a function that counts its calls by what they are made on. */
async function lonePost(receiver: Receiver, envelope: object): Promise<(call: RegExp) => number> {
  const lock = `${recordsPath(receiver.dataDir)}.lock`
  const { lines } = await callsDuring(
    receiver.process.pid as number,
    join(scratchDir(), 'trace'),
    async () => {
      const response = await receiver.post(envelope, { connection: 'close' })
      assert.ok(response.ok, await response.text())
      await isReleased(lock)
    },
  )
  return (call) => lines.filter((line) => call.test(line) && !/ resumed>/.test(line)).length
}

test(
  'a lone append calls statx four times on its lock and three times on its file, and asks for the free space without the thread pool',
  options,
  async () => {
    const receiver = await startReceiver()
    await receiver.post(scn01({ narrative: 'the first' }))
    await isReleased(`${recordsPath(receiver.dataDir)}.lock`)
    // The receiver does not ask for the free space again for a moment after it has asked.
    await sleep(300)
    const count = await lonePost(receiver, scn01({ narrative: 'the second' }))
    const pid = receiver.process.pid as number
    await receiver.stop()
    // On a disk that takes longer than a second there are heartbeats, each with a statx before it.
    const beats = count(/ utimensat\(.*records\.json\.lock/)
    assert.equal(count(/ statx\(.*records\.json\.lock/) - beats, 4)
    assert.equal(count(/ statx\(.*records\.json[>"]/), 3)
    assert.equal(count(/ mkdir\(/), 1)
    assert.equal(count(new RegExp(`^${pid} +mkdir\\(`)), 1, 'by the thread that answers')
    assert.equal(count(/ rmdir\(/), 1)
    assert.equal(count(/ pwrite64\(/), 2)
    assert.equal(count(/ fdatasync\(/), 1)
    assert.equal(count(/ f?statfs\(/), 1)
    assert.equal(count(new RegExp(`^${pid} +statfs\\(`)), 1, 'by the thread that answers')
  },
)

test(
  'a lone overwrite writes and renames one file, syncs twice, and does nothing else',
  options,
  async () => {
    const receiver = await startReceiver()
    await receiver.post(vs01())
    const count = await lonePost(receiver, vs01())
    await receiver.stop()
    assert.equal(count(/ openat\(.*\/vs01\//), 2)
    assert.equal(count(/ pwrite64\(/), 1)
    assert.equal(count(/ fsync\(/), 2)
    assert.equal(count(/ rename\(/), 1)
    assert.equal(count(/ statx\(.*\/vs01\//), 2)
  },
)

test('a call is counted once although strace prints it in two halves, and turns are counted only of the first thread', () => {
  const { calls, turns } = callsIn(7, [
    '7 epoll_pwait(14<anon_inode:[eventpoll]>, [], 1024, 0, NULL, 8) = 0',
    '7 epoll_pwait(14<anon_inode:[eventpoll]>,  <unfinished ...>',
    '8 epoll_pwait(9<anon_inode:[eventpoll]>, [], 1024, 0, NULL, 8) = 0',
    '8 fdatasync(21<file>) = 0',
    '7 <... epoll_pwait resumed>[], 1024, 39, NULL, 8) = 1',
    '7 epoll_pwait(14<anon_inode:[eventpoll]>,  <unfinished ...>',
    '7 <... epoll_pwait resumed>[], 1024, 0, NULL, 8) = 0',
    'strace: Process 9 attached',
  ])
  assert.deepEqual(
    [...calls],
    [
      ['epoll_pwait', 4],
      ['fdatasync', 1],
    ],
  )
  assert.equal(turns, 2)
})
