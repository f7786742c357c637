/** Records go only into a directory that bears the mark of this program, and only as long as it bears the mark. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { receiverCommand } from './bundle.ts'
import { type Receiver, scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { audit } from './said.ts'

const mark = '.civic-orchestrator'

const production = (dataDir: string): Promise<Receiver> =>
  startReceiver({ NODE_ENV: 'production', DATA_DIR: dataDir })

/** Marks the directory with the command that an installation calls, and gives the exit status. */
function markDataDir(dataDir: string): number | null {
  const env = { PATH: process.env.PATH, DATA_DIR: dataDir }
  const [program, ...args] = receiverCommand
  return spawnSync(program, [...args, '--mark-data-dir'], { env }).status
}

test('in production a data directory that is not there is refused with the command that makes it, and not made', async () => {
  const dataDir = join(scratchDir(), 'data')
  await assert.rejects(production(dataDir), /ended \(78\)[\s\S]*\.(ts|cjs) --mark-data-dir/)
  assert.ok(!existsSync(dataDir))
})

test('in production a directory without records and without a mark is refused, and stays as it was', async () => {
  const dataDir = scratchDir()
  mkdirSync(join(dataDir, 'lost+found'))
  await assert.rejects(production(dataDir), /ended \(78\)/)
  assert.deepEqual(readdirSync(dataDir), ['lost+found'])
})

test('a directory is made and marked once, and then records are accepted', async () => {
  const dataDir = join(scratchDir(), 'below', 'data')
  assert.equal(markDataDir(dataDir), 0)
  const made = readFileSync(join(dataDir, mark), 'utf8')
  assert.equal(JSON.parse(made).version, 1)
  assert.equal(statSync(join(dataDir, mark)).mode & 0o7777, 0o640)
  assert.equal(statSync(dataDir).mode & 0o7777, 0o2750)
  assert.equal(markDataDir(dataDir), 0)
  assert.equal(readFileSync(join(dataDir, mark), 'utf8'), made)
  const receiver = await production(dataDir)
  assert.equal((await receiver.post(scn01())).status, 201)
  await receiver.stop()
  assert.equal(readFileSync(join(dataDir, mark), 'utf8'), made)
  const { exit, out } = await audit('verify', '--data', dataDir)
  assert.equal(exit, 0, out)
})

test('the command that marks reports a path that cannot be a directory', () => {
  const dataDir = join(scratchDir(), 'data')
  mkdirSync(dataDir)
  assert.equal(markDataDir(join('/proc/self/status', 'data')), 78)
})

test('a directory with records of version 1.0 is marked at its first start in production', async () => {
  const first = await startReceiver()
  assert.equal((await first.post(vs01())).status, 201)
  await first.stop()
  assert.ok(!existsSync(join(first.dataDir, mark)))
  const second = await production(first.dataDir)
  assert.ok(existsSync(join(first.dataDir, mark)))
  await second.stop()
})

for (const [what, replaceBy] of [
  ['is gone', () => {}],
  ['is empty', (dataDir: string) => void mkdirSync(dataDir)],
  ['bears another mark', (dataDir: string) => void markDataDir(dataDir)],
] as const) {
  test(`when the directory of a running receiver ${what}, it is not ready, stores nothing and makes nothing`, async () => {
    const dataDir = join(scratchDir(), 'data')
    markDataDir(dataDir)
    const receiver = await production(dataDir)
    for (const envelope of [vs01(), scn01()]) assert.equal((await receiver.post(envelope)).status, 201)
    renameSync(dataDir, `${dataDir}-away`)
    replaceBy(dataDir)
    const there = existsSync(dataDir) ? readdirSync(dataDir) : undefined
    const ready = await fetch(`${receiver.url}/ready`)
    assert.equal(ready.status, 503)
    assert.match(await ready.text(), /does not bear the mark/)
    for (const envelope of [vs01(), scn01({ narrative: 'y' })])
      assert.equal((await receiver.post(envelope)).status, 503)
    assert.deepEqual(existsSync(dataDir) ? readdirSync(dataDir) : undefined, there)
    rmSync(dataDir, { recursive: true, force: true })
    renameSync(`${dataDir}-away`, dataDir)
    assert.equal((await fetch(`${receiver.url}/ready`)).status, 200)
    for (const envelope of [vs01(), scn01({ narrative: 'y' })]) assert.ok((await receiver.post(envelope)).ok)
    await receiver.stop()
    assert.equal(receiver.output().split('does not bear the mark').length, 2, 'told once')
  })
}
