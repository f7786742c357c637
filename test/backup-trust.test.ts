/** The backup trusts no file in a backup directory without checking it: files may be forged, altered, damaged, linked or shared with others. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'
import { runBackup } from '../src/backup/cli.ts'
import {
  copyOf,
  dataWith,
  fileAt,
  flip,
  holdsText,
  newestIn,
  recordsAt,
  signAgain,
  slug,
  store,
  workplace,
} from './backup-tools.ts'
import { sha256 } from './disk.ts'
import { isRoot } from './needs.ts'
import { scn01, vs01 } from './receiver.ts'
import { audit, said } from './said.ts'

describe('the files in a backup directory', () => {
  const { key, at, save, check, bring } = workplace()
  let data: string
  /** A finished backup, of which each test takes a copy. */
  const good = at('good')
  const copied = (name: string): string => {
    cpSync(good, at(name), { recursive: true })
    return at(name)
  }

  before(async () => {
    data = await dataWith(4, 3)
    assert.equal((await save(data, good)).exit, 0)
  })

  /** Rewrites a record in the copies, computes the chain anew, and makes a list and a manifest that fit. */
  function forge(to: string): void {
    const backup = newestIn(to)
    const piece = copyOf(backup, /^records\.json\.001\.000001$/)
    let previous = '0'.repeat(64)
    const lines = readFileSync(piece, 'utf8')
      .replace('record 2', 'forged 2')
      .split('\n')
      .slice(1)
      .map((line) => {
        const comma = line.endsWith(',') ? ',' : ''
        const text = line.replace(/,$/, '').replace(/("previous_sha256":")[0-9a-f]{64}/, `$1${previous}`)
        previous = sha256(text)
        return text + comma
      })
    const forged = ['[', ...lines].join('\n')
    assert.equal(forged.length, readFileSync(piece).length)
    writeFileSync(piece, forged)
    const list = copyOf(dirname(piece), /^list\./)
    const before = readFileSync(list, 'utf8')
    const entry = before.split('\n').map((line) => JSON.parse(line || '{}'))
    const text = before.replaceAll(entry[1].sha256, sha256(forged)).replaceAll(entry[0].last_sha256, previous)
    rmSync(list)
    writeFileSync(join(dirname(piece), `list.${sha256(text)}`), text)
    const manifest = join(backup, 'manifest')
    writeFileSync(
      manifest,
      readFileSync(manifest, 'utf8').replace(list.slice(list.lastIndexOf('.') + 1), sha256(text)),
    )
  }

  test('records rewritten in it, with chain, list and manifest made anew, are never signed', async () => {
    const to = copied('forged')
    forge(to)
    const before = newestIn(to)
    const kept = readFileSync(copyOf(before, /^records\.json\.001/))
    await store(data, scn01({ narrative: 'after the forgery' }))
    const { exit, err } = await save(data, to)
    assert.equal(exit, 1)
    assert.match(err, /backup-\S+ was altered after it was signed.*left alone, and a whole new backup/)
    assert.notEqual(newestIn(to), before)
    assert.deepEqual(readFileSync(copyOf(before, /^records\.json\.001/)), kept, 'left alone')
    assert.equal((await bring(to, at('from-forged'))).exit, 0)
    assert.deepEqual(readFileSync(recordsAt(at('from-forged'))), readFileSync(recordsAt(data)))
    assert.equal((await audit('verify', '--data', at('from-forged'))).exit, 0)
    const next = await save(data, to)
    assert.equal(next.exit, 0, next.err)
    assert.match(next.err, /beside it lies backup-/)
  })

  test('without a signature, a forged backup is not mistaken for the data directory', async () => {
    const to = at('unsigned')
    assert.equal((await said(runBackup, to, '--data', data, '--unsigned')).exit, 0)
    forge(to)
    const { exit, err } = await said(runBackup, to, '--data', data, '--unsigned')
    assert.equal(exit, 1)
    assert.match(err, /scn01\/heron-ridge: its \d records do not continue the \d that were copied/)
    assert.match(
      (await said(runBackup, copied('signed'), '--data', data, '--unsigned')).err,
      /is signed, and this run/,
    )
  })

  test('a flipped byte is found by the next run and repaired from the data directory, even if the time of the file was set back', async () => {
    const to = copied('flipped')
    await save(data, to)
    for (const pattern of [/^records\.json\.001\.000001$/, /^SASE1.*\.json\.[0-9a-f]{64}$/]) {
      for (const damage of [flip, rmSync, (path: string) => truncateSync(path, 20)]) {
        const path = copyOf(newestIn(to), pattern)
        const { atime, mtime } = lstatSync(path)
        const whole = readFileSync(path)
        damage(path)
        if (existsSync(path)) utimesSync(path, atime, mtime)
        assert.equal((await check(to)).exit, 1)
        const { exit, err } = await save(data, to)
        assert.equal(exit, 1)
        assert.match(err, /(scn01|vs01)\/heron-ridge: .*(damaged or gone).*it was made anew/)
        assert.deepEqual(readFileSync(path), whole)
        assert.equal((await check(to)).exit, 0)
        assert.equal((await save(data, to)).exit, 0)
      }
    }
  })

  test('a byte that a disk flipped without a new time is found in its turn', async () => {
    const to = copied('rotten')
    await save(data, to)
    const path = copyOf(newestIn(to), /^SASE2.*\.json\.[0-9a-f]{64}$/)
    flip(path)
    // The list gets the stamp of the damaged copy, so that the copy seems unchanged.
    const { ino, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true })
    const list = copyOf(dirname(path), /^list\./)
    const text = readFileSync(list, 'utf8').replace(
      /("name":"SASE2[^}]*"stamp":")[^"]*/,
      `$1${ino} ${size} ${mtimeNs} ${ctimeNs}`,
    )
    rmSync(list)
    writeFileSync(join(dirname(path), `list.${sha256(text)}`), text)
    signAgain(newestIn(to), key, (manifest) =>
      manifest.replace(list.slice(list.lastIndexOf('.') + 1), sha256(text)),
    )
    const { exit, err } = await save(data, to)
    assert.equal(exit, 1)
    assert.match(
      err,
      /vs01\/heron-ridge: 1 file: the copy in the backup was damaged or gone; it was made anew/,
    )
  })

  test('a copy that cannot be repaired is reported in every run, and a restore refuses it', async () => {
    const own = at('own-data')
    cpSync(data, own, { recursive: true })
    const to = at('lost')
    await save(own, to)
    rmSync(fileAt(own, 1))
    flip(copyOf(newestIn(to), /^SASE1.*\.json\.[0-9a-f]{64}$/))
    for (const _ of [1, 2]) {
      const { exit, err } = await save(own, to)
      assert.equal(exit, 1)
      assert.match(err, /the copy is damaged or gone, and the data directory does not have it either/)
    }
    assert.match((await check(to)).err, /SASE1.* is damaged/)
  })

  test('behind a piece that cannot be mended nothing is appended, and the run goes on', async () => {
    const own = at('own-records')
    cpSync(data, own, { recursive: true })
    const to = at('damaged-piece')
    await save(own, to)
    await store(own, scn01({ narrative: 'behind a damaged piece' }), vs01({ fields: { note: 'later' } }))
    const records = recordsAt(own)
    writeFileSync(records, readFileSync(records, 'utf8').replace('record 1', 'recorD 1'))
    flip(copyOf(newestIn(to), /^records\.json\.001\.000001$/))
    const { exit, err } = await save(own, to)
    assert.equal(exit, 1)
    assert.match(err, /is damaged or gone in the backup, and the data directory does not have it either/)
    assert.ok(!holdsText(to, 'behind a damaged piece'))
    assert.ok(holdsText(to, '"note": "later"'))
  })

  test('a backup with a damaged list does not verify', async () => {
    for (const damage of [flip, rmSync, (path: string) => truncateSync(path, 0)]) {
      const to = copied('listless')
      damage(copyOf(join(newestIn(to), 'scn01'), /^list\./))
      const { exit, err } = await save(data, to)
      assert.equal(exit, 1)
      assert.match(err, /a list of it is damaged or gone; it is left alone/)
      assert.equal(readdirSync(to).length, 2)
      const checked = await check(to)
      assert.equal(checked.exit, 0)
      assert.match(checked.out + checked.err, /beside it lie other backups, .*: backup-\d{8}T\d{9}Z\n/)
      rmSync(to, { recursive: true })
    }
  })

  test('links in it are neither followed nor written through', async () => {
    const outside = at('outside')
    mkdirSync(outside)
    writeFileSync(join(outside, 'precious'), 'precious')
    const cases: [string, number, (backup: string) => void][] = [
      [
        'an addon',
        2,
        (backup) => {
          rmSync(join(backup, 'vs01'), { recursive: true })
          symlinkSync(outside, join(backup, 'vs01'))
        },
      ],
      [
        'an association',
        2,
        (backup) => {
          rmSync(join(backup, 'vs01', slug), { recursive: true })
          symlinkSync(outside, join(backup, 'vs01', slug))
        },
      ],
      [
        'a piece, a file and the names of what is being written',
        1,
        (backup) => {
          for (const pattern of [/^records\.json\.001\.000001$/, /^SASE1.*\.json\.[0-9a-f]{64}$/]) {
            const path = copyOf(backup, pattern)
            rmSync(path)
            symlinkSync(join(outside, 'precious'), path)
          }
          for (const name of ['list.new', 'copy.new', 'records.json.001.000001.new', 'foreign'])
            symlinkSync(join(outside, 'precious'), join(backup, 'scn01', slug, name))
          for (const name of ['list.new', 'copy.new'])
            symlinkSync(join(outside, 'precious'), join(backup, 'vs01', slug, name))
        },
      ],
      [
        'the manifest',
        1,
        (backup) => {
          rmSync(join(backup, 'manifest'))
          symlinkSync(join(outside, 'precious'), join(backup, 'manifest'))
        },
      ],
    ]
    for (const [name, exit, plant] of cases) {
      const to = copied('linked')
      plant(newestIn(to))
      const saved = await save(data, to)
      assert.equal(saved.exit, exit, `${name}: ${saved.err}`)
      if (exit === 2) assert.match(saved.err, /is a symbolic link, and none is followed here/, name)
      else assert.equal((await check(to)).exit, 0, name)
      assert.equal(readFileSync(join(outside, 'precious'), 'utf8'), 'precious', name)
      assert.deepEqual(readdirSync(outside), ['precious'], name)
      rmSync(to, { recursive: true })
    }
    symlinkSync(outside, at('link-itself'))
    assert.match((await save(data, at('link-itself'))).err, /is a symbolic link/)
  })

  test('a directory of another user, or one to which others can write, is refused', async (t) => {
    const to = copied('shared')
    chmodSync(to, 0o777)
    assert.match((await save(data, to)).err, /can be written to by others/)
    chmodSync(to, 0o700)
    chmodSync(join(newestIn(to), 'vs01'), 0o770)
    assert.match((await save(data, to)).err, /vs01 can be written to by others/)
    chmodSync(join(newestIn(to), 'vs01'), 0o700)
    if (!isRoot) return t.skip('only root can give a directory away')
    chownSync(to, 4242, 4242)
    const { exit, err } = await save(data, to)
    assert.equal(exit, 2)
    assert.match(err, /belongs to another user: run this as its owner/)
  })

  test('bytes that a killed run wrote after a piece are not used', async () => {
    const to = copied('tail')
    const piece = copyOf(newestIn(to), /^records\.json\.001\.000001$/)
    writeFileSync(piece, ',\n{"forged":true}', { flag: 'a' })
    await store(data, scn01({ narrative: 'behind a tail' }))
    const { exit, err } = await save(data, to)
    assert.equal(exit, 0, err)
    assert.ok(!readFileSync(piece, 'utf8').includes('forged'))
    assert.equal((await check(to)).exit, 0)
  })
})
