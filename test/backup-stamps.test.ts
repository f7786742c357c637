/** Time stamps are copied beside the backups once and unchanged, and are never replaced or removed. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { dataWith, workplace } from './backup-tools.ts'

const base = 'heads-20260101T000000000Z'

describe('a backup with --stamps', () => {
  const { work, save, check } = workplace()
  let data: string
  before(async () => {
    data = await dataWith(2, 1)
  })

  function stampsIn(name: string): { readonly from: string; readonly to: string; readonly kept: string } {
    const from = join(work, `${name}-stamps`)
    mkdirSync(from)
    for (const end of ['.txt', '.own.tsr', '.own.pem']) writeFileSync(join(from, base + end), `${name}${end}`)
    for (const other of ['.failing-own', '.new-x', 'notes.md'])
      writeFileSync(join(from, other), 'not a stamp')
    return { from, to: join(work, name), kept: join(work, name, 'stamps') }
  }
  const read = (directory: string, end: string): string => readFileSync(join(directory, base + end), 'utf8')

  test('takes heads, stamps and certificates along, and nothing else; the backup is as whole as before', async () => {
    const { from, to, kept } = stampsIn('whole')
    for (let n = 0; n < 2; n++) assert.equal((await save(data, to, '--stamps', from)).err, '')
    assert.deepEqual(
      readdirSync(kept).sort(),
      ['.own.pem', '.own.tsr', '.txt'].map((end) => base + end),
    )
    assert.equal(read(kept, '.own.tsr'), 'whole.own.tsr')
    assert.equal((await check(to)).exit, 0)
    writeFileSync(join(from, 'heads-20260102T000000000Z.txt'), 'later')
    assert.equal((await save(data, to, '--stamps', from)).err, '')
    assert.equal(readdirSync(kept).length, 4)
  })

  test('keeps the first copy of a stamp that is altered or gone, and says so', async () => {
    const { from, to, kept } = stampsIn('altered')
    assert.equal((await save(data, to, '--stamps', from)).err, '')
    writeFileSync(join(from, `${base}.own.tsr`), 'forged')
    rmSync(join(from, `${base}.txt`))
    const { exit, err } = await save(data, to, '--stamps', from)
    assert.equal(exit, 1)
    assert.match(err, /1 file: a time stamp or what belongs to it was altered; the first copy stays/)
    assert.match(err, /1 file: a time stamp or what belongs to it is gone; the copy stays/)
    assert.deepEqual([read(kept, '.own.tsr'), read(kept, '.txt')], ['altered.own.tsr', 'altered.txt'])
  })

  test('follows no link, and works without any stamps', async () => {
    const { from, to, kept } = stampsIn('link')
    writeFileSync(join(work, 'secret'), 'secret')
    symlinkSync(join(work, 'secret'), join(from, 'heads-20260103T000000000Z.txt'))
    const { exit, err } = await save(data, to, '--stamps', from)
    assert.equal(exit, 1)
    assert.match(err, /could not be read \(ENOTREGULAR\)/)
    assert.equal(readdirSync(kept).length, 3)
    const none = join(work, 'none')
    assert.equal((await save(data, none, '--stamps', join(work, 'nowhere'))).exit, 0)
    assert.ok(!existsSync(join(none, 'stamps')))
  })
})
