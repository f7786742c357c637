/** Append-only records that fill more than one piece of 16 MiB are copied, appended to, repaired and restored unchanged. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { flip, newestIn, recordsAt, slug, store, workplace } from './backup-tools.ts'
import { scn01, scratchDir } from './receiver.ts'

const MiB = 1024 * 1024
const first = 'records.json.001.000001'
const second = 'records.json.001.000002'

describe('records of more than one piece', () => {
  const { at, save, check, bring } = workplace()
  const data = scratchDir()
  const to = at('backups')
  const pieceAt = (name: string): string => join(newestIn(to), 'scn01', slug, name)
  let sealed: Buffer

  before(async () => {
    const long = Array.from({ length: 17 }, (_, n) => scn01({ narrative: `${n} ${'x'.repeat(1_000_000)}` }))
    await store(data, ...long)
    assert.equal((await save(data, to)).exit, 0)
    sealed = readFileSync(pieceAt(first))
  })

  test('lie in a full piece, which never changes again, and in one that grows', async () => {
    assert.ok(sealed.length >= 16 * MiB && sealed.length < 18 * MiB, `${sealed.length}`)
    await store(data, scn01({ narrative: 'one more' }))
    assert.equal((await save(data, to)).exit, 0)
    assert.deepEqual(readFileSync(pieceAt(first)), sealed)
    assert.ok(readFileSync(pieceAt(second), 'latin1').includes('one more'))
    const pieces = readdirSync(join(newestIn(to), 'scn01', slug)).filter((name) => !name.startsWith('list.'))
    assert.deepEqual(pieces.sort(), [first, second])
  })

  test('are restored as one file, byte for byte', async () => {
    const target = at('restored')
    const { exit, err } = await bring(to, target)
    assert.equal(exit, 0, err)
    assert.ok(readFileSync(recordsAt(target)).equals(readFileSync(recordsAt(data))))
  })

  test('each piece that is damaged or cut is named by a restore, and mended from its own place in the file', async () => {
    for (const name of [first, second])
      for (const damage of [flip, (path: string) => truncateSync(path, 100)]) {
        const good = readFileSync(pieceAt(name))
        damage(pieceAt(name))
        const checked = await check(to)
        assert.equal(checked.exit, 1)
        assert.ok(checked.err.includes(`${name} is damaged`), checked.err)
        const { exit, err } = await save(data, to)
        assert.equal(exit, 1)
        assert.ok(err.includes(`${name} in the backup was damaged or gone; it was made anew`), err)
        assert.ok(readFileSync(pieceAt(name)).equals(good))
      }
    assert.equal((await check(to)).exit, 0)
  })
})
