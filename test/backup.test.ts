/** Backup and restore: a drill under load, and everything that must not be taken for a good backup. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
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
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { run as audit } from '../src/audit/cli.ts'
import { runBackup, runRestore } from '../src/backup/cli.ts'
import { makeKey } from './deploy/host.ts'
import { send } from './deploy/senders.ts'
import { type Receiver, scn01, scratchDir, startReceiver, token, vs01 } from './receiver.ts'

type Said = { readonly code: number; readonly out: string; readonly err: string }

async function said(run: typeof runBackup, ...args: string[]): Promise<Said> {
  let out = ''
  let err = ''
  const io = {
    out: async (text: string | Uint8Array) => {
      out += text
    },
    err: (text: string) => {
      err += text
    },
    columns: 100,
    watched: false,
  }
  return { code: await run(args, io), out, err }
}

describe('backup and restore', () => {
  const work = scratchDir()
  const key = makeKey(work, 'key')
  const at = (name: string): string => join(work, name)
  const save = (data: string, to: string, ...more: string[]) =>
    said(runBackup, to, '--data', data, '--key', key, ...more)
  const check = (from: string) => said(runRestore, from, '--check', '--key', `${key}.pub`)
  let receiver: Receiver
  let data: string

  before(async () => {
    receiver = await startReceiver()
    data = receiver.dataDir
    for (const n of [1, 2, 3]) {
      await receiver.post(scn01({ narrative: `first ${n}` }))
      await receiver.post(vs01({ participant_id: `SASE${n}-22c-at-5sb-8hm-54v` }))
    }
  })
  after(async () => {
    await receiver.stop()
    for (const directory of [work, data]) rmSync(directory, { recursive: true, force: true })
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
    await delay(500)
    const first = await save(drilled.dataDir, at('drill'))
    assert.equal(first.code, 0, first.err)
    const { code, out, err } = await save(drilled.dataDir, at('drill'), '--json')
    assert.equal(code, 0, err)
    const { complete_until } = JSON.parse(out)
    const { stored, failed, receipts } = await load.end()
    assert.deepEqual(failed, [])
    await drilled.stop('SIGKILL')
    rmSync(drilled.dataDir, { recursive: true })

    const back = await said(runRestore, at('drill'), at('back'), '--key', `${key}.pub`)
    assert.equal(back.code, 0, back.err)
    assert.match(back.out, /^ +\d+ {2}scn01\/load-0\n/)
    const due = receipts.filter(({ at }) => at < complete_until).map(({ body }) => body)
    assert.ok(due.length > 20 && due.length < stored, `${due.length} of ${stored}`)
    writeFileSync(at('receipts'), due.map((body) => `${body}\n`).join(''))
    const verified = await said(audit, 'verify', '--data', at('back'), '--receipts', at('receipts'))
    assert.equal(verified.code, 0, verified.out + verified.err)

    const again = await startReceiver({ DATA_DIR: at('back') })
    const [body] = due as [string]
    const { association_slug } = JSON.parse(body)
    const stored1 = JSON.parse(
      readFileSync(join(at('back'), 'scn01', association_slug, 'records.json'), 'utf8'),
    )[0]
    const { receipt: _receipt, node_token_hash: _hash, ...envelope } = stored1
    assert.equal((await again.post(envelope)).status, 200, 'a duplicate is known again')
    await again.stop()
  })

  test('writes appended bytes once, and of what is replaced keeps the last state only', async () => {
    const to = at('incremental')
    await save(data, to)
    const unchanged = JSON.parse((await save(data, to, '--json')).out)
    assert.equal(unchanged.bytes_written, 0)

    const records = join(data, 'scn01/heron-ridge/records.json')
    const sizeBefore = statSync(records).size
    await receiver.post(scn01({ narrative: 'one more' }))
    const added = JSON.parse((await save(data, to, '--json')).out)
    assert.equal(added.bytes_written, statSync(records).size - sizeBefore)
    assert.deepEqual(readFileSync(join(to, 'records/scn01/heron-ridge/records.json')), readFileSync(records))

    const secret = 'state-that-must-not-stay'
    await receiver.post(vs01({ fields: { note: secret } }))
    await save(data, to)
    assert.ok(grep(to, secret))
    await receiver.post(vs01({ fields: { note: 'its successor' } }))
    await save(data, to)
    assert.ok(!grep(to, secret))
    assert.equal((await check(to)).code, 0)
  })

  test("refuses, by name, a backup that is damaged or another one's, and writes nothing", async () => {
    const good = at('good')
    await save(data, good)
    const stranger = makeKey(work, 'stranger')
    const manifest = (in_: string) =>
      join(in_, readdirSync(in_).find((name) => /^manifest.*json$/.test(name)) as string)
    const object = (in_: string) => {
      const shard = join(in_, 'objects', readdirSync(join(in_, 'objects')).at(-1) as string)
      return join(shard, readdirSync(shard)[0] as string)
    }
    const cases: [string, RegExp, (in_: string) => void][] = [
      [
        'a record altered',
        /records\.json is damaged/,
        (in_) => flip(join(in_, 'records/scn01/heron-ridge/records.json')),
      ],
      [
        'a record less',
        /records\.json is damaged/,
        (in_) => truncateSync(join(in_, 'records/scn01/heron-ridge/records.json'), 700),
      ],
      ['no records', /records\.json is missing/, (in_) => rmSync(join(in_, 'records'), { recursive: true })],
      ['an object altered', /objects\/.* is damaged/, (in_) => flip(object(in_))],
      ['an object less', /objects\/.* is missing/, (in_) => rmSync(object(in_))],
      ['a manifest altered', /altered after it was signed/, (in_) => flip(manifest(in_))],
      ['no signature', /is not signed/, (in_) => rmSync(`${manifest(in_)}.sig`)],
      ['no manifest', /holds no manifest/, (in_) => rmSync(manifest(in_))],
      [
        'another key',
        /signed with another key/,
        (in_) => {
          rmSync(`${manifest(in_)}.sig`)
          const args = ['-Y', 'sign', '-q', '-f', stranger, '-n', 'civic-orchestrator-backup', manifest(in_)]
          execFileSync('ssh-keygen', args, { stdio: 'ignore' })
        },
      ],
      [
        'a path that leaves the directory',
        /not a manifest/,
        (in_) => {
          const text = readFileSync(manifest(in_), 'utf8')
          writeFileSync(manifest(in_), text.replace(/"vs01\/heron-ridge\//, '"../../../heron-ridge/'))
          rmSync(`${manifest(in_)}.sig`)
          execFileSync(
            'ssh-keygen',
            ['-Y', 'sign', '-q', '-f', key, '-n', 'civic-orchestrator-backup', manifest(in_)],
            {
              stdio: 'ignore',
            },
          )
        },
      ],
    ]
    for (const [name, says, damage] of cases) {
      const bad = at('bad')
      rmSync(bad, { recursive: true, force: true })
      cpSync(good, bad, { recursive: true })
      damage(bad)
      const { code, err } = await said(runRestore, bad, at('never'), '--key', `${key}.pub`)
      assert.equal(code, 1, name)
      assert.match(err, says, name)
      assert.deepEqual(existsSync(at('never')) ? readdirSync(at('never')) : [], [], name)
      assert.equal((await check(bad)).code, 1, name)
    }
  })

  test('never restores over anything', async () => {
    await save(data, at('over'))
    const { code, err } = await said(runRestore, at('over'), data, '--key', `${key}.pub`)
    assert.equal(code, 2)
    assert.match(err, /is not empty, and nothing is ever overwritten/)
    const paused = at('paused')
    mkdirSync(paused)
    writeFileSync(join(paused, '.paused'), 'restoring\n')
    assert.equal((await said(runRestore, at('over'), paused, '--key', `${key}.pub`)).code, 0)
    assert.deepEqual(readdirSync(paused).sort(), ['.paused', 'scn01', 'vs01'])
    assert.equal(statSync(join(paused, 'scn01/heron-ridge')).mode & 0o7777, 0o2750)
  })

  test('does not take over from the data directory what was altered or lost there', async () => {
    const copy = at('copy')
    cpSync(data, copy, { recursive: true })
    const records = join(copy, 'scn01/heron-ridge/records.json')
    const to = at('keeps')
    await save(copy, to)
    const whole = readFileSync(records)
    const cases: [string, () => void][] = [
      ['shortened', () => truncateSync(records, 800)],
      ['lost', () => rmSync(records)],
      ['another one', () => writeFileSync(records, `[\n${'{}'.padEnd(whole.length, ' ')},\n{}\n]\n`)],
    ]
    for (const [name, damage] of cases) {
      damage()
      const { code, err } = await save(copy, to)
      assert.equal(code, 1, name)
      assert.match(err, /scn01\/heron-ridge: .*the backup keeps what it has/, name)
      assert.equal((await check(to)).code, 0, name)
      writeFileSync(records, whole)
    }
    const [file] = readdirSync(join(copy, 'vs01/heron-ridge')) as [string]
    rmSync(join(copy, 'vs01/heron-ridge', file))
    const kept = await save(copy, to)
    assert.equal(kept.code, 1)
    assert.match(kept.err, /vs01\/heron-ridge: 1 files are no longer/)
    assert.ok(!kept.err.includes(file), 'no participant is named')
    assert.equal((await save(copy, to, '--forget-missing')).code, 0)
    assert.ok(!(await check(to)).out.includes('keeps'))
  })

  test('takes the whole records of a torn file, says so, and goes on once it is mended', async () => {
    const copy = at('torn-copy')
    cpSync(data, copy, { recursive: true })
    const records = join(copy, 'scn01/heron-ridge/records.json')
    const whole = readFileSync(records)
    truncateSync(records, whole.length - 3)
    appendFileSync(records, ',\n{"addon":"scn')
    const torn = await save(copy, at('torn'))
    assert.equal(torn.code, 1)
    assert.match(torn.err, /only the first \d+ records are whole/)
    writeFileSync(records, whole)
    assert.equal((await save(copy, at('torn'))).code, 0)
    assert.equal((await check(at('torn'))).code, 0)
  })

  test('may be killed at any moment: the backup before it stands, and the next one goes on', async () => {
    const to = at('killed')
    await save(data, to)
    for (const ms of [250, 330, 410, 490, 570]) {
      await receiver.post(vs01({ fields: { note: `${ms}` } }))
      await receiver.post(scn01({ narrative: `killed ${ms}` }))
      const args = ['--import', 'tsx', 'scripts/backup.ts', to, '--data', data, '--key', key]
      const child = spawn(process.execPath, args, { stdio: 'ignore' })
      const timer = setTimeout(() => child.kill('SIGKILL'), ms)
      await once(child, 'exit')
      clearTimeout(timer)
      const { code, err } = await check(to)
      assert.equal(code, 0, err)
    }
    // the lock of the last one killed has to become stale first
    let last = await save(data, to)
    for (let n = 0; n < 10 && last.code === 2; n++) last = await save(data, to)
    assert.equal(last.code, 0, last.err)
    assert.equal(readdirSync(to).filter((name) => /manifest/.test(name)).length, 2)
  })

  test('explains itself, and tells wrong arguments from findings', async () => {
    for (const run of [runBackup, runRestore]) {
      const { code, out } = await said(run, '--help')
      assert.equal(code, 0)
      assert.match(out, /Exit: 0 /)
      assert.equal((await said(run)).code, 2)
      assert.equal((await said(run, 'a', '--nonsense')).code, 2)
    }
    assert.match((await save(at('not-there'), at('x'))).err, /there is no/)
    assert.match((await save(data, join(data, 'inside'))).err, /would be lost with it/)
    assert.match((await save(data, dirname(data))).err, /neither empty nor a backup/)
    assert.match((await said(runBackup, at('x'), '--data', data, '--key', at('none'))).err, /there is no key/)
  })
})

function flip(path: string): void {
  const bytes = readFileSync(path)
  const middle = Math.floor(bytes.length / 2)
  bytes[middle] = (bytes[middle] as number) ^ 1
  writeFileSync(path, bytes)
}

function grep(directory: string, text: string): boolean {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text),
  )
}
