/** What a run of the backup promises: it is on disk before it gets its name, only one run works in a directory, and its counts are right. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { ownerFor } from '../src/backup/owner.ts'
import { acquire } from '../src/storage/files/lock.ts'
import { copyOf, dataWith, newestIn, store, workplace } from './backup-tools.ts'
import { commandOf } from './bundle.ts'
import { lacking } from './needs.ts'
import { scn01 } from './receiver.ts'

describe('a run of the backup', () => {
  const { key, at, save } = workplace()
  let data: string

  before(async () => {
    data = await dataWith(3, 3)
  })

  test('has everything on disk before the manifest gets its name', {
    skip: lacking('strace') ? 'strace is not installed' : false,
  }, async () => {
    const program = [...(await commandOf('scripts/backup.ts')), at('synced'), '--data', data]
    const trace = at('trace')
    const calls = ['-e', 'trace=syncfs,rename,renameat,renameat2,openat']
    const child = spawn('strace', ['-f', '-qq', '-o', trace, ...calls, ...program, '--key', key], {
      stdio: 'ignore',
    })
    const [code] = await once(child, 'exit')
    assert.equal(code, 0)
    const lines = readFileSync(trace, 'latin1').split('\n')
    const synced = lines.findIndex((line) => /syncfs\(/.test(line))
    const named = lines.findIndex((line) => /rename\w*\(.*\/manifest"/.test(line))
    const copied = lines.findLastIndex(
      (line) => /openat\(.*backup-.*O_CREAT/.test(line) && !/\.tmp-/.test(line),
    )
    assert.ok(copied !== -1 && synced !== -1 && named !== -1, 'all three were seen')
    assert.ok(copied < synced, 'after the last copy')
    assert.ok(synced < named, 'before the manifest')
  })

  test('ends without a change when another run has the lock', async () => {
    const to = at('locked')
    assert.equal((await save(data, to)).exit, 0)
    const manifest = join(newestIn(to), 'manifest')
    const standing = readFileSync(manifest, 'utf8')
    const lock = await acquire(join(to, 'manifest'), join(to, '.lock'), performance.now() + 5_000)
    assert.ok(lock)
    try {
      const { exit, err } = await save(data, to)
      assert.equal(exit, 2)
      assert.match(err, /another backup into this directory is under way/)
      assert.equal(readFileSync(manifest, 'utf8'), standing)
    } finally {
      await lock.release()
    }
    assert.equal((await save(data, to)).exit, 0)
  })

  test('counts the bytes that it has written, and none in a run that finds nothing new', async () => {
    const own = await dataWith(2, 0)
    const counted = async () =>
      JSON.parse((await save(own, at('counted'), '--json')).out) as Record<string, number>
    const first = await counted()
    const piece = copyOf(newestIn(at('counted')), /^records/)
    assert.equal(first.bytes_written, statSync(piece).size)
    assert.equal((await counted()).bytes_written, 0)
    await store(own, scn01({ narrative: 'one more' }))
    const before = statSync(piece).size
    const next = await counted()
    assert.equal(next.bytes_written, statSync(copyOf(newestIn(at('counted')), /^records/)).size - before)
    assert.ok((next.bytes_written as number) > 0)
  })
})

test('only root gives restored files to another user', () => {
  const here = process.geteuid?.() as number
  const user = here === 0 ? 65_534 : here
  process.seteuid?.(user)
  try {
    assert.throws(() => ownerFor('/nowhere', `${user + 1}:0`), /only root can give files away/)
    assert.equal(ownerFor('/nowhere', `${user}:0`), undefined)
    assert.equal(ownerFor('/nowhere', undefined), undefined)
  } finally {
    process.seteuid?.(here)
  }
})
