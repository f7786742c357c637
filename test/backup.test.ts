/** Backup and restore: a drill under load, which files are written and removed, and every kind of backup that is not good. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'
import { runBackup, runRestore } from '../src/backup/cli.ts'
import {
  copyOf,
  dataWith,
  flip,
  holdsText,
  newestIn,
  placekey,
  recordsAt,
  signAgain,
  store,
  workplace,
} from './backup-tools.ts'
import { commandOf } from './bundle.ts'
import { makeKey } from './deploy/host.ts'
import { send } from './deploy/senders.ts'
import { lacking } from './needs.ts'
import { scn01, startReceiver, token, vs01 } from './receiver.ts'
import { audit, said } from './said.ts'

describe('backup and restore', () => {
  const { work, key, at, save, check, bring } = workplace()
  let data: string

  before(async () => {
    data = await dataWith(3, 3)
  })

  test('the drill: back up under load, lose the machine, restore, and find every receipt', async () => {
    const drilled = await startReceiver()
    const load = send({
      url: drilled.url,
      token: () => token,
      senders: 8,
      keepAlive: true,
      keepReceipts: true,
    })
    while (!holdsText(drilled.dataDir, '"receipt"')) await new Promise(setImmediate)
    const first = await save(drilled.dataDir, at('drill'))
    assert.equal(first.exit, 0, first.err)
    const { exit, out, err } = await save(drilled.dataDir, at('drill'), '--json')
    assert.equal(exit, 0, err)
    const { complete_until } = JSON.parse(out)
    const { stored, failed, receipts } = await load.end()
    assert.deepEqual(failed, [])
    await drilled.stop('SIGKILL')
    rmSync(drilled.dataDir, { recursive: true })

    const back = await bring(at('drill'), at('back'))
    assert.equal(back.exit, 0, back.err)
    assert.match(back.out, /^ +\d+ {2}scn01\/load-0\n/)
    assert.match(back.out, /Everything acknowledged before .*Z is back\.\n$/)
    const due = receipts.filter(({ at }) => at < complete_until).map(({ body }) => body)
    assert.ok(due.length > 0 && due.length < stored, `${due.length} of ${stored}`)
    writeFileSync(at('receipts'), due.map((body) => `${body}\n`).join(''))
    const verified = await audit('verify', '--data', at('back'), '--receipts', at('receipts'))
    assert.equal(verified.exit, 0, verified.out + verified.err)

    const again = await startReceiver({ DATA_DIR: at('back') })
    const [body] = due as [string]
    const { association_slug } = JSON.parse(body)
    const records = readFileSync(join(at('back'), 'scn01', association_slug, 'records.json'), 'utf8')
    const { receipt: _receipt, node_token_hash: _hash, ...envelope } = JSON.parse(records)[0]
    assert.equal((await again.post(envelope)).status, 200, 'a duplicate is known again')
    await again.stop()
  })

  test('writes appended bytes once, and keeps only the last state of replaced files', async () => {
    const to = at('incremental')
    await save(data, to)
    const unchanged = JSON.parse((await save(data, to, '--json')).out)
    assert.equal(unchanged.bytes_written, 0)

    const sizeBefore = statSync(recordsAt(data)).size
    await store(data, scn01({ narrative: 'one more' }))
    const added = JSON.parse((await save(data, to, '--json')).out)
    assert.equal(added.bytes_written, statSync(recordsAt(data)).size - sizeBefore)
    const piece = readFileSync(copyOf(to, /^records\.json\.001\.000001$/), 'utf8')
    assert.equal(`${piece}\n]\n`, readFileSync(recordsAt(data), 'utf8'))

    const secret = 'state-that-must-not-stay'
    await store(data, vs01({ fields: { note: secret } }))
    await save(data, to)
    assert.ok(holdsText(to, secret))
    await store(data, vs01({ fields: { note: 'its successor' } }))
    await save(data, to)
    assert.ok(!holdsText(to, secret))
    assert.equal((await check(to)).exit, 0)
    assert.equal(readdirSync(to).length, 1, 'one backup, and no lock')
  })

  test("refuses, by name, a backup that is damaged or another one's, and writes nothing", async () => {
    const good = at('good')
    await save(data, good)
    const stranger = makeKey(work, 'stranger')
    const piece = (in_: string) => copyOf(in_, /^records\.json\.001\.000001$/)
    const copy = (in_: string) => copyOf(in_, /^SASE.*\.json\.[0-9a-f]{64}$/)
    const list = (in_: string) => copyOf(join(newestIn(in_), 'vs01'), /^list\./)
    const manifest = (in_: string) => join(newestIn(in_), 'manifest')
    const unsign = (text: string) => text.replace(/-----BEGIN[\s\S]*$/, '')
    const cases: [string, RegExp, (in_: string) => void][] = [
      ['a record altered', /000001 is damaged/, (in_) => flip(piece(in_))],
      ['a record less', /000001 is damaged/, (in_) => truncateSync(piece(in_), 700)],
      ['no records', /000001 is missing/, (in_) => rmSync(piece(in_))],
      ['a file altered', /SASE.* is damaged/, (in_) => flip(copy(in_))],
      ['a file less', /SASE.* is missing/, (in_) => rmSync(copy(in_))],
      ['a file longer than any', /SASE.* is damaged/, (in_) => truncateSync(copy(in_), 17e6)],
      ['a list altered', /a list/, (in_) => flip(list(in_))],
      ['a list less', /its list is missing/, (in_) => rmSync(list(in_))],
      ['a manifest altered', /altered after it was signed/, (in_) => flip(manifest(in_))],
      [
        'no signature',
        /is not signed/,
        (in_) => writeFileSync(manifest(in_), unsign(readFileSync(manifest(in_), 'utf8'))),
      ],
      ['no manifest', /holds no manifest/, (in_) => rmSync(manifest(in_))],
      ['no backup', /holds no backup/, (in_) => rmSync(newestIn(in_), { recursive: true })],
      ['another key', /signed with another key/, (in_) => signAgain(newestIn(in_), stranger, (text) => text)],
      [
        'a path that leaves the directory',
        /does not know/,
        (in_) =>
          signAgain(newestIn(in_), key, (text) => text.replace('"heron-ridge","list"', '"../..","list"')),
      ],
    ]
    for (const [name, says, damage] of cases) {
      const bad = at('bad')
      rmSync(bad, { recursive: true, force: true })
      cpSync(good, bad, { recursive: true })
      damage(bad)
      const { exit, err } = await bring(bad, at('never'))
      assert.equal(exit, 1, `${name}: ${err}`)
      assert.match(err, says, name)
      assert.deepEqual(existsSync(at('never')) ? readdirSync(at('never')) : [], [], name)
      assert.equal((await check(bad)).exit, 1, name)
    }
  })

  test('killed at any change of a name, the backup before it stands, and the next run goes on', async (t) => {
    if (lacking('strace')) return t.skip('strace is not installed')
    const own = at('killed-data')
    cpSync(data, own, { recursive: true })
    let points = 0
    for (const call of ['rename', 'mkdir', 'unlink']) {
      for (let n = 1; ; n++) {
        const to = at(`killed-${call}-${n}`)
        // In an odd round the backup is a first run; in an even one it adds to an earlier run.
        const isFirst = n % 2 === 1
        if (!isFirst) await save(own, to)
        await store(own, vs01({ fields: { note: `state ${points}` } }), scn01({ narrative: `${call} ${n}` }))
        const names = `?${call},?${call}at,?${call}at2`
        const inject = ['-e', `trace=${names}`, '-e', `inject=${names}:signal=SIGKILL:when=${n}`]
        const program = [...(await commandOf('scripts/backup.ts')), to, '--data', own, '--key', key]
        const env = { ...process.env, TSX_DISABLE_CACHE: '1' }
        const traced = spawnSync('strace', ['-f', '-qq', '-o', at('trace'), ...inject, ...program], { env })
        if (traced.status === 0) break
        points++
        const point = `${call} ${n}`
        const standing = await check(to)
        if (isFirst && standing.exit !== 0) assert.match(standing.err, /there is no|holds no backup/, point)
        else assert.equal(standing.exit, 0, `${point}: ${standing.err}`)
        // A lock counts as free when nobody has touched it for five seconds. One run of each kind waits for that.
        if (n > 1) rmSync(join(to, '.lock'), { recursive: true, force: true })
        await store(own, vs01({ fields: { note: 'the last state' } }))
        const next = await save(own, to)
        assert.equal(next.exit, 0, `${point}: ${next.err}`)
        assert.equal((await check(to)).exit, 0, point)
        const backup = newestIn(to)
        assert.deepEqual(readdirSync(to), [basename(backup)], point)
        assert.deepEqual(readdirSync(backup).sort(), ['manifest', 'scn01', 'vs01'], point)
        assert.ok(!holdsText(backup, '"note": "state'), `${point}: what killed runs left is removed`)
      }
    }
    assert.ok(points >= 10, `only ${points} points were reached`)
  })

  test('has a help text, and distinguishes wrong arguments from findings', async () => {
    for (const run of [runBackup, runRestore]) {
      const { exit, out } = await said(run, '--help')
      assert.equal(exit, 0)
      assert.match(out, /Exit: 0 /)
      assert.equal((await said(run)).exit, 2)
      assert.equal((await said(run, 'a', '--nonsense')).exit, 2)
    }
    assert.match((await save(at('not-there'), at('x'))).err, /there is no/)
    assert.match((await save(data, join(data, 'inside'))).err, /would be lost with it/)
    assert.ok(!existsSync(join(data, 'inside')), 'nothing is made there')
    assert.match((await save(data, dirname(data))).err, /neither empty nor|writ|belongs/)
    mkdirSync(at('other'))
    writeFileSync(join(at('other'), 'letter.txt'), '')
    assert.match((await save(data, at('other'))).err, /neither empty nor a directory of backups/)
    assert.match((await said(runBackup, at('x'), '--data', data, '--key', at('none'))).err, /there is no key/)
  })

  test('--json is one object, and names what the text names', async () => {
    const made = JSON.parse((await save(data, at('json'), '--json')).out)
    assert.equal(made.associations.length, 2)
    assert.equal(made.associations[1].records, 3)
    rmSync(join(data, 'vs01/heron-ridge', `${placekey(3)}.json`))
    const { exit, out, err } = await save(data, at('json'), '--json')
    assert.equal(exit, 1)
    assert.deepEqual(JSON.parse(out).findings[0].paths, [`vs01/heron-ridge/${placekey(3)}.json`])
    assert.ok(!err.includes(placekey(3)), 'no participant is named in a log')
    assert.match(err, /vs01\/heron-ridge: 1 file: no longer in the data directory/)
    assert.match((await check(at('json'))).err, /1 files were no longer in the data directory/)
    assert.equal((await save(data, at('json'), '--forget-missing')).exit, 0)
    assert.ok(!JSON.stringify(readdirSync(newestIn(at('json')), { recursive: true })).includes(placekey(3)))
  })
})
