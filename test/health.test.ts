/** What `/ready` reports about the disk: writes that fail, paths of another user, a lock that cannot be acquired. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs, { chownSync, existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AssociationFile } from '../src/storage/files/association-file.ts'
import { Health } from '../src/storage/files/health.ts'
import { Tenure } from '../src/storage/files/tenure.ts'
import { receiverCommand } from './bundle.ts'
import { mountNew } from './faults/mounts.ts'
import { attach } from './faults/strace.ts'
import { isRoot, missingHere } from './needs.ts'
import { type Receiver, scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { put, quiet, storeIn } from './records.ts'

const nobody = 65_534

async function ready({ url }: Receiver): Promise<{ status: number; reasons: string }> {
  const response = await fetch(`${url}/ready`)
  const { reasons = [] } = (await response.json()) as { reasons?: string[] }
  return { status: response.status, reasons: reasons.join('\n') }
}

/** Starts a receiver as a user who is not root. */
function powerless(dataDir: string): Promise<Receiver> {
  chownSync(dataDir, nobody, nobody)
  const drop = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
  const command = [...drop, ...receiverCommand]
  return startReceiver({ DATA_DIR: dataDir, HOME: '/' }, command)
}

for (const [part, path] of [
  ['a directory of an addon', 'scn01'],
  ['a directory of an association', 'scn01/heron-ridge'],
  ['a records file', 'scn01/heron-ridge/records.json'],
  ['a directory of an association', 'vs01/heron-ridge'],
] as const) {
  test(`is not ready while ${path} belongs to another user, and names the command that corrects it`, {
    skip: isRoot ? false : 'needs root to give a path to another user',
  }, async () => {
    const dataDir = scratchDir()
    const first = await powerless(dataDir)
    for (const envelope of [vs01(), scn01()]) assert.equal((await first.post(envelope)).status, 201)
    assert.equal((await ready(first)).status, 200)
    execFileSync('chown', ['0:0', join(dataDir, path)])
    execFileSync('chmod', ['go-w,o-rwx', join(dataDir, path)])
    // A receiver that starts reports this before any post.
    await first.stop()
    const second = await powerless(dataDir)
    let seen = await ready(second)
    for (let asked = 0; seen.status === 200 && asked < 500; asked++) seen = await ready(second)
    assert.equal(seen.status, 503)
    assert.ok(seen.reasons.includes(part), seen.reasons)
    assert.ok(seen.reasons.includes(`chown -R nobody ${dataDir}`), seen.reasons)
    execFileSync('chown', ['-R', 'nobody', dataDir])
    assert.equal((await ready(second)).status, 200)
    for (const envelope of [vs01(), scn01()]) assert.equal((await second.post(envelope)).status, 200)
    await second.stop()
  })
}

test('is not ready on a disk that fails to keep a few bytes, before any post comes', {
  skip: missingHere(['strace']) && 'needs root and strace',
}, async () => {
  const receiver = await startReceiver()
  const inject = ['-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO']
  const trace = await attach(receiver.process.pid as number, join(scratchDir(), 'trace'), inject)
  const { status, reasons } = await ready(receiver)
  await trace.end()
  assert.equal(status, 503)
  assert.match(reasons, /a test write failed \(EIO\)/)
  assert.equal((await receiver.post(vs01())).status, 201)
  assert.equal((await ready(receiver)).status, 200, 'a write has succeeded')
  await receiver.stop()
})

for (const [what, kind, line] of [
  [
    'went read-only by an error',
    'ext4',
    'echo 1 > "/sys/fs/ext4/$(basename "$(findmnt -no SOURCE "$0")")/trigger_fs_error"',
  ],
  ['shut itself down', 'xfs', 'xfs_io -x -c shutdown "$0"'],
] as const) {
  test(`is not ready on a file system that ${what}, before any post comes`, {
    skip: missingHere([`mkfs.${kind}`, 'mount', 'xfs_io']) ?? false,
  }, async () => {
    const disk = mountNew(kind, join(scratchDir(), kind), {
      words: kind === 'ext4' ? ['-e', 'remount-ro'] : [],
    })
    try {
      const receiver = await startReceiver({ DATA_DIR: disk.path })
      assert.equal((await receiver.post(scn01())).status, 201)
      execFileSync('sh', ['-c', line, disk.path])
      assert.equal((await ready(receiver)).status, 503)
      await receiver.stop('SIGKILL')
      disk.unmount()
      disk.mountAgain()
      const again = await startReceiver({ DATA_DIR: disk.path })
      assert.equal((await ready(again)).status, 200)
      assert.equal((await again.post(scn01())).status, 200, 'the record is there')
      await again.stop()
    } finally {
      disk.remove()
    }
  })
}

/** Makes each write fail while `isBroken` is set, and counts the writes. */
function breakWrites(t: TestContext): { isBroken: boolean; count: number } {
  const state = { isBroken: false, count: 0 }
  const { writeSync } = fs
  const set = (by: typeof writeSync): void => {
    fs.writeSync = by
    syncBuiltinESMExports()
  }
  set(((...args: Parameters<typeof writeSync>) => {
    state.count++
    if (state.isBroken) throw Object.assign(new Error('EIO'), { code: 'EIO', errno: -5 })
    return writeSync(...args)
  }) as typeof writeSync)
  t.after(() => set(writeSync))
  return state
}

test('the disk is tried at most every 10 s, and nothing is left behind', async (t) => {
  const root = scratchDir()
  const writes = breakWrites(t)
  const health = new Health(root, 0)
  for (let asked = 0; asked < 5; asked++) assert.deepEqual(await health.reasons(), [])
  assert.equal(writes.count, 1)
  writes.isBroken = true
  assert.deepEqual(await new Health(root, 0).reasons(), [
    { kind: 'disk-error', text: 'a test write failed (EIO)' },
  ])
  assert.deepEqual(readdirSync(root), [])
})

test('after a write that failed it is not ready until a write to that association has succeeded', async () => {
  const root = scratchDir()
  const health = new Health(root, 0)
  const association = 'scn01/heron-ridge'
  assert.deepEqual(await health.reasons(), [])
  await health.failed(association)
  assert.deepEqual(await health.reasons(), [
    { kind: 'disk-error', text: 'the disk reported an error, and no write has succeeded since' },
  ])
  health.stored('scn01/plum-grove')
  assert.equal((await health.reasons()).length, 1)
  health.stored(association)
  assert.deepEqual(await health.reasons(), [])
})

test('a lock that cannot be acquired for long is logged once, and once more when it is acquired', async () => {
  const directories = [join(scratchDir(), 'scn01'), ''] as [string, string]
  directories[1] = join(directories[0], 'heron-ridge')
  mkdirSync(directories[1], { recursive: true })
  const lock = join(directories[1], 'records.json.lock')
  mkdirSync(lock)
  const beating = setInterval(() => {
    const now = new Date()
    utimesSync(lock, now, now)
  }, 100)
  const told: string[] = []
  const note = (_fields: object, message: string) => told.push(message)
  const log = { ...quiet, warn: note, info: note }
  const tenure = new Tenure(directories, new AssociationFile(directories[1], log), log, undefined, 50)
  await assert.rejects(tenure.acquire(performance.now() + 20), { fault: 'busy' })
  while (!tenure.isLockMissing) await sleep(5)
  await assert.rejects(tenure.acquire(performance.now() + 200), { fault: 'busy' })
  clearInterval(beating)
  assert.equal(told.filter((message) => message.includes('cannot be had')).length, 1)
  execFileSync('rmdir', [lock])
  while (tenure.isLockMissing) await sleep(5)
  assert.ok(told.some((message) => message.includes('had again')))
  await tenure.end()
})

test('a first record for which the disk has no room leaves nothing of its association', {
  skip: isRoot ? false : 'needs root for a small tmpfs',
}, async () => {
  const root = scratchDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'civic-test', root])
  try {
    const store = storeIn(root)
    const filler = join(root, 'filler')
    // The loop goes from a disk on which nothing can be made to a disk that has no room only for the record.
    for (let free = 0; free <= 7; free++) {
      writeFileSync(filler, Buffer.alloc((16 - free) * 4096))
      const large = 'x'.repeat(40_000)
      for (const envelope of [scn01({ narrative: large }), vs01({ fields: { large } })])
        assert.deepEqual(await put(store, envelope), { ok: false, fault: 'full' })
      assert.deepEqual(readdirSync(root), ['filler'], `${free} pages free`)
      execFileSync('rm', [filler])
    }
    for (const envelope of [scn01(), vs01()]) assert.ok((await put(store, envelope)).ok)
    await store.close()
    assert.ok(existsSync(join(root, 'scn01')))
  } finally {
    execFileSync('umount', [root])
  }
})
