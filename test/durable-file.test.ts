/** How bytes and names are put on the disk for good: the order of the system calls, and their failures. */
import assert from 'node:assert/strict'
import fs, { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { beforeEach, type TestContext, test } from 'node:test'
import type { AcceptedRecord } from '../contracts/record.ts'
import { scratchDir } from './receiver.ts'

const quiet = { info() {}, warn() {}, error() {}, fatal() {} }

/** The calls on directories, in order, and the results of their next fsyncs, if the real ones are not wanted. */
const events: string[] = []
let answers: (Error | undefined)[] = []
/** Lets the held fsync end; set only while one is held. */
let release: (() => void) | undefined
let isHeld = false

const real = { fsync: fs.fsync, openSync: fs.openSync, closeSync: fs.closeSync }
const directories = new Set<number>()
// The functions are replaced before the module under test is loaded, because it keeps the ones that it finds.
fs.openSync = ((...args: Parameters<typeof fs.openSync>) => {
  const fd = real.openSync(...args)
  if (fs.fstatSync(fd).isDirectory()) {
    directories.add(fd)
    events.push('open')
  }
  return fd
}) as typeof fs.openSync
fs.closeSync = (fd) => {
  if (directories.delete(fd)) events.push('close')
  real.closeSync(fd)
}
fs.fsync = ((fd: number, done: (error: Error | null) => void) => {
  if (!directories.has(fd)) {
    real.fsync(fd, done)
    return
  }
  events.push('fsync')
  const answer = answers.shift()
  const go = (): void => real.fsync(fd, (error) => done(answer ?? error))
  if (isHeld) release = go
  else go()
}) as typeof fs.fsync
syncBuiltinESMExports()
const { changeNames } = await import('../src/storage/files/durable-file.ts')
const { writeSmallFile } = await import('../src/storage/files/small-file.ts')
const { OverwriteRule } = await import('../src/storage/files/overwrite.ts')

beforeEach(() => {
  events.length = 0
  answers = []
  isHeld = false
})

const failure = (code: string, errno: number): Error => Object.assign(new Error(code), { code, errno })

test('a directory is open before a name in it changes, and until its fsync has ended', async () => {
  const directory = scratchDir()
  await changeNames(directory, () => {
    events.push('change')
    mkdirSync(join(directory, 'new'))
  })
  assert.deepEqual(events, ['open', 'change', 'fsync', 'close'])
})

test('a change that fails is not synced, and its directory is closed', async () => {
  await assert.rejects(
    changeNames(scratchDir(), () => {
      throw new Error('no')
    }),
  )
  assert.deepEqual(events, ['open', 'close'])
})

test('an fsync of a directory in progress serves no later caller, and the next fsync serves all of them', async () => {
  const directory = scratchDir()
  isHeld = true
  const ended: string[] = []
  const changed = (name: string): Promise<number> =>
    changeNames(directory, () => {}).then(() => ended.push(name))
  const first = changed('first')
  await nextFsync(1)
  const others = [changed('second'), changed('third')]
  isHeld = false
  release?.()
  await Promise.all([first, ...others])
  assert.deepEqual(ended, ['first', 'second', 'third'])
  assert.equal(events.filter((event) => event === 'fsync').length, 2)
})

test('when an fsync of a directory fails, the callers that wait for the next one fail too, and later callers start a new one', async () => {
  const directory = scratchDir()
  isHeld = true
  answers = [failure('EIO', -5)]
  const first = changeNames(directory, () => {})
  await nextFsync(1)
  const second = changeNames(directory, () => {})
  const results = Promise.allSettled([first, second])
  await new Promise(setImmediate)
  isHeld = false
  release?.()
  assert.deepEqual(
    (await results).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await changeNames(directory, () => {})
})

async function nextFsync(count: number): Promise<void> {
  while (events.filter((event) => event === 'fsync').length < count) await new Promise(setImmediate)
}

function overwriting(narrative: string): AcceptedRecord {
  const at = { addon: 'vs01', association_slug: 'heron-ridge', participant_id: '@5sb-8hm-54v' }
  return { ...at, storage: 'overwrite-by-placekey', members: [['narrative', narrative]], unhashed: [] }
}

test('a full disk that shows after the new file is in its place is not answered as if nothing had changed', async () => {
  const rule = new OverwriteRule(scratchDir(), () => quiet)
  await rule.put(overwriting('one'), performance.now() + 8_000)
  answers = [failure('ENOSPC', -28)]
  const outcome = await rule.put(overwriting('two'), performance.now() + 8_000)
  assert.deepEqual(outcome, { ok: false, fault: 'io' })
})

test('a small file is whole, has its mode, and no temporary is left beside it', async () => {
  const directory = scratchDir()
  const path = join(directory, 'small')
  assert.equal(await writeSmallFile(path, 'one\n', { mode: 0o600 }), true)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  await writeSmallFile(path, 'two\n', { mode: 0o600 })
  assert.equal(readFileSync(path, 'utf8'), 'two\n')
  assert.deepEqual(readdirSync(directory), ['small'])
})

test('a small file that exists already is left alone', async () => {
  const path = join(scratchDir(), 'small')
  const made = await Promise.all(
    ['one', 'two', 'three'].map((text) => writeSmallFile(path, text, { onlyIfAbsent: true })),
  )
  assert.equal(made.filter(Boolean).length, 1)
  assert.equal(readFileSync(path, 'utf8'), ['one', 'two', 'three'][made.indexOf(true)])
})

test('a small file that the disk cuts short leaves the old one as it was', async (t) => {
  const directory = scratchDir()
  const path = join(directory, 'small')
  writeFileSync(path, 'old')
  cutWrites(t)
  await assert.rejects(writeSmallFile(path, 'new and longer'), { fault: 'full' })
  assert.equal(readFileSync(path, 'utf8'), 'old')
  assert.deepEqual(readdirSync(directory), ['small'])
})

/** Makes writes end early without an error, as on a full disk. write-file-atomic looks `fs.write` up when it writes. */
function cutWrites(t: TestContext): void {
  const { write } = fs
  fs.write = ((fd: number, text: string, offset: number, encoding: BufferEncoding, done: () => void) =>
    write(fd, text.slice(0, 3), offset, encoding, done)) as unknown as typeof fs.write
  t.after(() => {
    fs.write = write
  })
}
