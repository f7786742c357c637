/** Which files a backup copies from a data directory that was damaged, rolled back or filled with foreign files, and which it does not copy. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { before, beforeEach, describe, test } from 'node:test'
import {
  copyOf,
  dataWith,
  fileAt,
  flip,
  holdsText,
  newestIn,
  placekey,
  recordsAt,
  slug,
  store,
  workplace,
} from './backup-tools.ts'
import { isRoot } from './needs.ts'
import { scn01 } from './receiver.ts'
import { audit } from './said.ts'

describe('the files that a backup copies from a data directory', () => {
  const { work, save, check, bring } = workplace()
  let whole: string
  let count = 0
  let data: string
  let to: string
  /** Makes a fresh copy of the data, and a backup of it. */
  beforeEach(async () => {
    data = join(work, `data-${++count}`)
    to = join(work, `backup-${count}`)
    cpSync(whole, data, { recursive: true })
    assert.equal((await save(data, to)).exit, 0)
  })
  before(async () => {
    whole = await dataWith(4, 3)
  })

  const restored = async (): Promise<string> => {
    const target = join(work, `restored-${count}-${Math.random()}`)
    const { exit, err } = await bring(to, target)
    assert.equal(exit, 0, err)
    return target
  }

  test('when a file is no record any more, its good copy stays, and the file is named until it is repaired', async () => {
    const good = readFileSync(fileAt(data, 1))
    const damages: [string, (path: string) => void][] = [
      ['emptied', (path) => writeFileSync(path, '')],
      ['cut', (path) => truncateSync(path, good.length - 20)],
      ['another participant', (path) => writeFileSync(path, readFileSync(fileAt(data, 2)))],
      ['a text', (path) => writeFileSync(path, 'lorem ipsum\n')],
      ['longer than any', (path) => truncateSync(path, 17e6)],
    ]
    for (const [name, damage] of damages) {
      damage(fileAt(data, 1))
      for (const _ of [1, 2]) {
        const { exit, out, err } = await save(data, to)
        assert.equal(exit, 1, name)
        assert.match(err, /vs01\/heron-ridge: 1 file: .*the backup keeps the copy it has/, name)
        assert.match(out, /^Everything acknowledged before \S+ is in it, except:$/m, name)
        assert.match(out, /^ {2}vs01\/heron-ridge: .*\(whole up to 20\S+Z\)$/m, name)
      }
      const back = await restored()
      assert.deepEqual(readFileSync(fileAt(back, 1)), good, name)
      writeFileSync(fileAt(data, 1), good)
    }
    const { exit, out } = await save(data, to)
    assert.equal(exit, 0)
    assert.match(out, /is in it\.$/m)
  })

  test('a file that is no record and was never copied is not in it, and a restore says so', async () => {
    writeFileSync(fileAt(data, 4), '')
    const { exit, err } = await save(data, to, '--json')
    assert.equal(exit, 1)
    assert.match(err, /1 file: no record that the receiver stores \(see verify\); it is not in the backup/)
    const { out } = await check(to)
    assert.match(out, /is in it, except:\n {2}vs01\/heron-ridge: 1 file: no record/)
    assert.ok(!out.includes(placekey(4)))
  })

  test('append-only records that were shortened, lost or altered: the copies stay', async () => {
    const records = recordsAt(data)
    const before = readFileSync(records)
    const head = join(dirname(records), '.records.head.json')
    const lines = before.toString().split('\n')
    const cases: [string, RegExp, () => void][] = [
      ['cut off', /is not whole: altered, or shortened/, () => truncateSync(records, 800)],
      [
        'cut off cleanly, against its head file',
        /is not whole: altered, or shortened/,
        () => writeFileSync(records, `${lines.slice(0, 3).join('\n').replace(/,$/, '')}\n]\n`),
      ],
      ['lost', /its records file is missing/, () => rmSync(records)],
      ['emptied', /is not whole: altered, or shortened/, () => truncateSync(records, 0)],
      [
        'altered in its last record',
        /is not whole: altered, or shortened/,
        () => writeFileSync(records, before.toString().replace('record 3', 'RECORD 3')),
      ],
      [
        'another one',
        /is not whole/,
        () => writeFileSync(records, `[\n${'{}'.padEnd(before.length)},\n{}\n]\n`),
      ],
      [
        'a directory',
        /its records file is a directory/,
        () => {
          rmSync(records)
          mkdirSync(records)
        },
      ],
    ]
    for (const [name, says, damage] of cases) {
      damage()
      const { exit, out, err } = await save(data, to)
      assert.equal(exit, 1, name)
      assert.match(err, says, name)
      assert.match(err, /the backup keeps the 4 records that it has/, name)
      assert.match(out, /except:\n {2}scn01\/heron-ridge: .*\(whole up to 20\S+Z\)/, name)
      assert.match((await check(to)).out, /except:\n {2}scn01\/heron-ridge: /, name)
      rmSync(records, { recursive: true, force: true })
      writeFileSync(records, before)
    }
    assert.ok(readFileSync(head).length > 0)
    assert.equal((await save(data, to)).exit, 0)
    assert.deepEqual(readFileSync(recordsAt(await restored())), before)
  })

  test('copies the whole records of a torn file, says so, and goes on once the file is repaired', async () => {
    const records = recordsAt(data)
    const before = readFileSync(records)
    truncateSync(records, before.length - 3)
    appendFileSync(records, ',\n{"addon":"scn')
    for (const _ of [1, 2]) {
      const torn = await save(data, to)
      assert.equal(torn.exit, 1)
      assert.match(
        torn.err,
        /the end of its records file does not verify; the first 4 records are in the backup/,
      )
    }
    writeFileSync(records, before)
    await store(data, scn01({ narrative: 'after the tear' }))
    assert.equal((await save(data, to)).exit, 0)
    assert.deepEqual(readFileSync(recordsAt(await restored())), readFileSync(records))
  })

  test('a last record that nothing confirms is not copied', async () => {
    const records = recordsAt(data)
    await store(data, scn01({ narrative: 'the fifth' }))
    writeFileSync(records, readFileSync(records, 'utf8').replace('the fifth', 'the fiFth'))
    const { exit, err } = await save(data, to)
    assert.equal(exit, 1)
    assert.match(err, /its head file speaks of 5 records; the first 4 records are in the backup/)
    assert.equal((await check(to)).exit, 0)
  })

  test('after a roll-back a new line of copies begins beside the old one, and both are kept and named', async () => {
    const old = readFileSync(recordsAt(data))
    await store(data, scn01({ narrative: 'lost by the roll-back' }))
    assert.equal((await save(data, to)).exit, 0)
    const lost = readFileSync(recordsAt(data))
    for (const name of readdirSync(dirname(recordsAt(data))))
      cpSync(join(whole, 'scn01', slug, name), join(dirname(recordsAt(data)), name), { recursive: true })
    assert.deepEqual(readFileSync(recordsAt(data)), old)
    const { exit, err } = await save(data, to)
    assert.equal(exit, 1)
    assert.match(err, /scn01\/heron-ridge: its 4 records do not continue the 5 that were copied/)
    assert.match(err, /line 2 of copies begins, line 1 is kept/)

    await store(data, scn01({ narrative: 'after the roll-back' }))
    const next = await save(data, to, '--json')
    assert.equal(next.exit, 0, next.err)
    const { associations } = JSON.parse(next.out)
    assert.deepEqual([associations[0].records, associations[0].earlier_lines], [5, [5]])
    const target = join(work, `target-${count}`)
    const back = await bring(to, target)
    assert.match(back.err, /scn01\/heron-ridge: line 1 of copies, 5 records, stays in the backup/)
    assert.deepEqual(readFileSync(recordsAt(target)), readFileSync(recordsAt(data)))
    const kept = readFileSync(copyOf(newestIn(to), /^records\.json\.001\.000001$/), 'utf8')
    assert.equal(`${kept}\n]\n`, lost.toString())
    assert.equal((await audit('verify', '--data', target)).exit, 0)
  })

  test('only regular files of the permitted names are read; everything else is named and left out', async () => {
    const vs01 = join(data, 'vs01', slug)
    const scn01 = join(data, 'scn01', slug)
    writeFileSync(join(vs01, 'x (copy).json'), '{}')
    writeFileSync(join(vs01, `${placekey(1)}.json.bak`), '{}')
    writeFileSync(join(scn01, 'records.json.1'), '[]')
    mkdirSync(join(vs01, 'old.json'))
    execFileSync('mkfifo', [join(vs01, `${placekey(5)}.json`)])
    symlinkSync('/dev/zero', join(vs01, `${placekey(6)}.json`))
    symlinkSync('/etc/passwd', join(vs01, `${placekey(7)}.json`))
    execFileSync('mkfifo', [join(scn01, 'records.json.torn-20261120T184502123Z')])
    symlinkSync('/dev/zero', join(scn01, 'records.json.torn-20261120T184502124Z'))
    mkdirSync(join(data, 'scn01/fifo'))
    execFileSync('mkfifo', [join(data, 'scn01/fifo/records.json')])
    symlinkSync('/', join(data, 'scn01/link'))
    symlinkSync('/', join(data, 'dsc01'))
    mkdirSync(join(data, 'scn01/Not A Slug'))
    writeFileSync(join(data, 'letter'), '')
    // These files belong there, so the backup does not name them.
    writeFileSync(join(data, '.gitignore'), '*')
    writeFileSync(join(data, '.postgres.json'), '{}')
    writeFileSync(join(scn01, '.refused.json'), '{}')
    writeFileSync(join(data, '.fuse_hidden0000000e00000001'), '')
    writeFileSync(join(vs01, '.nfs000000000012d68700000003'), '')
    mkdirSync(join(data, 'vs02'))
    const { exit, out } = await save(data, to, '--json')
    assert.equal(exit, 1)
    const { findings, bytes_written } = JSON.parse(out)
    assert.equal(bytes_written, 0)
    const paths = findings.flatMap((finding: { paths?: string[] }) => finding.paths ?? []).sort()
    assert.deepEqual(paths, [
      'dsc01',
      'letter',
      'scn01/Not A Slug',
      'scn01/heron-ridge/records.json.1',
      'scn01/heron-ridge/records.json.torn-20261120T184502123Z',
      'scn01/heron-ridge/records.json.torn-20261120T184502124Z',
      'scn01/link',
      `vs01/heron-ridge/${placekey(1)}.json.bak`,
      `vs01/heron-ridge/${placekey(5)}.json`,
      `vs01/heron-ridge/${placekey(6)}.json`,
      `vs01/heron-ridge/${placekey(7)}.json`,
      'vs01/heron-ridge/old.json',
      'vs01/heron-ridge/x (copy).json',
      'vs02',
    ])
    const fifo = findings.find((finding: { association: string }) => finding.association === 'scn01/fifo')
    assert.match(fifo.what, /its records file is a special file/)
    const named = findings.find(({ paths }: { paths?: string[] }) =>
      paths?.includes(`vs01/heron-ridge/${placekey(5)}.json`),
    )
    assert.deepEqual(
      [named.kind, named.what],
      ['left-out', 'a special file in the place of a file; it is not in the backup'],
    )
    const checked = await check(to)
    assert.equal(checked.exit, 0, checked.err)
    assert.match(checked.out, /except:\n/)
    assert.match(checked.out, /scn01\/fifo: its records file is a special file/)
  })

  test('ends that were cut off after a crash are in it', async () => {
    const name = 'records.json.torn-20261120T184502123Z'
    writeFileSync(join(data, 'scn01', slug, name), 'half a rec')
    assert.equal((await save(data, to)).exit, 0)
    assert.equal(readFileSync(join(await restored(), 'scn01', slug, name), 'utf8'), 'half a rec')
  })

  test('a file that a receiver is just writing is left out without a word', async () => {
    for (const place of [dirname(recordsAt(data)), dirname(fileAt(data, 1))])
      writeFileSync(join(place, '.tmp-17-0123456789ab'), 'half a rec')
    const { exit, err } = await save(data, to)
    assert.deepEqual([exit, err], [0, ''])
    assert.ok(!holdsText(to, 'half a rec'))
  })

  test('what an earlier version or a killed run left beside the manifest is removed', async () => {
    writeFileSync(join(newestIn(to), 'manifest.old'), 'x')
    assert.equal((await save(data, to)).exit, 0)
    assert.deepEqual(readdirSync(newestIn(to)).sort(), ['manifest', 'scn01', 'vs01'])
  })

  test('an association of which there is nothing is not in it', async () => {
    mkdirSync(join(data, 'scn01', 'hollow'))
    mkdirSync(join(data, 'vs01', 'hollow'))
    assert.equal((await save(data, to)).exit, 0)
    assert.ok(!readFileSync(join(newestIn(to), 'manifest'), 'utf8').includes('hollow'))
  })

  test('from a data directory that has become empty no copy is removed', async () => {
    renameSync(data, `${data}-unmounted`)
    mkdirSync(data)
    const { exit, err } = await save(data, to)
    assert.equal(exit, 2)
    assert.match(err, /holds neither records nor the mark of a data directory: is its disk mounted\?/)
    writeFileSync(join(data, '.civic-orchestrator'), '{}\n')
    const emptied = await save(data, to)
    assert.equal(emptied.exit, 1)
    assert.match(
      emptied.err,
      /scn01\/heron-ridge: its records file is missing; the backup keeps the 4 records/,
    )
    assert.match(emptied.err, /vs01\/heron-ridge: 3 files: no longer in the data directory/)
    const back = await restored()
    assert.deepEqual(readFileSync(recordsAt(back)), readFileSync(recordsAt(whole)))
    assert.deepEqual(readFileSync(fileAt(back, 3)), readFileSync(fileAt(whole, 3)))
  })

  test('files that this user cannot read are named, and the rest is copied', async (t) => {
    if (isRoot) return t.skip('root can read everything')
    chmodSync(fileAt(data, 1), 0)
    const { exit, err } = await save(data, to)
    assert.equal(exit, 1)
    assert.match(err, /cannot be read \(EACCES\); the backup keeps the copy it has/)
  })

  test('a flipped byte in the data directory does not reach the copies', async () => {
    const before = readFileSync(recordsAt(data))
    flip(recordsAt(data))
    await save(data, to)
    assert.deepEqual(readFileSync(recordsAt(await restored())), before)
  })
})
