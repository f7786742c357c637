/**
 * Provokes every alert in deploy/prometheus/alerts.yml. A real receiver meets the fault. Then promtool says which alerts fire on the
 * metrics of the receiver, and the test checks that no other alert fires.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { runBackup } from '../src/backup/cli.ts'
import { lockName } from '../src/records/layout.ts'
import { markDirectory } from '../src/storage/files/mark.ts'
import { build } from './audit-build.ts'
import { commandOf, receiverCommand } from './bundle.ts'
import { makeSmallHost } from './deploy/small-host.ts'
import { recordsPath } from './disk.ts'
import { attach } from './faults/strace.ts'
import { filledFifo, startMuted } from './muted.ts'
import { missingHere } from './needs.ts'
import { allowNoFurtherFile } from './open-files.ts'
import { nothing, requireFiring, type Scrape, scrape, scrapeIn } from './prometheus.ts'
import { type Receiver, scn01, scratchDir, startReceiver, token, vs01 } from './receiver.ts'
import { said } from './said.ts'
import { head, wire } from './wire.ts'

const missing = missingHere(['promtool', 'strace', 'mount', 'prlimit', 'setpriv'])
const options = { concurrency: 2, skip: missing === undefined ? false : `needs ${missing}` }
/** Minutes after the fault began: by the first, the alerts that wait for a few minutes have fired; by the second, all. */
const [soon, late] = [8, 45]

const provoked = new Set<string>()
let well: Scrape

function fires(after: Scrape, minutes: number, alerts: readonly string[], from = well): void {
  requireFiring({ before: from, after }, minutes, alerts)
  for (const alert of alerts) provoked.add(alert)
}

function start(env: Record<string, string> = {}, command?: readonly string[]): Promise<Receiver> {
  return startReceiver({ METRICS: '1', ...env }, command)
}

async function until(
  { url }: { url: string },
  series: string,
  expected: number | ((value: number) => boolean),
): Promise<Scrape> {
  const isIt = typeof expected === 'number' ? (value: number) => value === expected : expected
  for (;;) {
    const found = await scrape(url)
    if (isIt(found.get(series) ?? Number.NaN)) return found
    await delay(50)
  }
}

/** An address that nobody listens on. */
async function portOfEnded(): Promise<{ url: string; port: string }> {
  const { url, stop } = await start()
  await stop('SIGKILL')
  return { url, port: new URL(url).port }
}

/** The exit status of a receiver that ends at its start. */
function startInProduction(env: Record<string, string>): number | null {
  const settings = { PATH: process.env.PATH, NODE_ENV: 'production', METRICS: '1', NODE_TOKEN: token }
  const [program, ...args] = receiverCommand as [string, ...string[]]
  return spawnSync(program, args, { env: { ...settings, ...env } }).status
}

function submitted(hoursAgo = 0): { submitted_at: string } {
  return { submitted_at: new Date(Date.now() - hoursAgo * 3_600_000).toISOString() }
}

before(async () => {
  if (missing !== undefined) return
  const receiver = await start()
  well = await scrape(receiver.url)
  await receiver.stop()
})

describe('without any post an alert fires when', options, () => {
  test('the receiver does not answer', async () => {
    const receiver = await start()
    await receiver.stop('SIGKILL')
    const after = await scrape(receiver.url)
    assert.equal(after, nothing)
    fires(after, soon, ['CivicReceiverDown'])
  })

  test('the data directory is gone, or another directory is in its place', async () => {
    const root = join(scratchDir(), 'data')
    await markDirectory(root)
    const receiver = await start({ DATA_DIR: root })
    renameSync(root, `${root}-elsewhere`)
    fires(await scrape(receiver.url), soon, ['CivicNotReady'])
    mkdirSync(root)
    fires(await scrape(receiver.url), soon, ['CivicNotReady'])
    await receiver.stop()
  })

  test('the disk does not keep written bytes', async () => {
    const receiver = await start()
    const inject = ['-e', 'trace=fsync', '-e', 'inject=fsync:error=EROFS']
    const trace = await attach(receiver.process.pid as number, join(scratchDir(), 'trace'), inject)
    const after = await scrape(receiver.url)
    await trace.end()
    fires(after, soon, ['CivicNotReady'])
    await receiver.stop()
  })

  test('the disk is full, or nearly', async () => {
    const half = Math.floor((well.get('civic_free_bytes') as number) / 2)
    const nearly = await start({ MIN_FREE_BYTES: String(half) })
    fires(await scrape(nearly.url), soon, ['CivicDiskAlmostFull'])
    const full = await start({ MIN_FREE_BYTES: String(10 ** 15) })
    fires(await scrape(full.url), soon, ['CivicDiskAlmostFull', 'CivicNotReady'])
    for (const each of [nearly, full]) await each.stop()
  })

  test('few files can still be made', async () => {
    const root = scratchDir()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4g,nr_inodes=5000', 'civic-test', root])
    try {
      const receiver = await start({ DATA_DIR: root })
      fires(await scrape(receiver.url), soon, ['CivicFewInodes'])
      await receiver.stop()
    } finally {
      execFileSync('umount', [root])
    }
  })

  test('a path belongs to another user', async () => {
    const root = scratchDir()
    mkdirSync(join(root, 'vs01'), { mode: 0o700 })
    execFileSync('chown', ['nobody', root])
    const powerless = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    const receiver = await start({ DATA_DIR: root, HOME: '/' }, [...powerless, ...receiverCommand])
    fires(await until(receiver, 'civic_ready{reason="rights"}', 0), soon, ['CivicNotReady'])
    await receiver.stop()
  })

  test('no further file can be opened', async () => {
    const receiver = await start()
    const line = await wire(receiver.url)
    line.send(head({}, 'GET /health HTTP/1.1'))
    await line.answer()
    allowNoFurtherFile(receiver)
    line.send(head({}, 'GET /metrics HTTP/1.1'))
    fires(scrapeIn((await line.answer()).body), soon, ['CivicNotReady'])
    line.socket.destroy()
    await receiver.stop('SIGKILL')
  })

  test('the receiver is paused for long', async () => {
    const receiver = await start()
    writeFileSync(join(receiver.dataDir, '.paused'), 'a move\n')
    const after = await scrape(receiver.url)
    fires(after, soon, [])
    fires(after, late, ['CivicPausedForLong'])
    await receiver.stop()
  })

  test('an association was refused before a restart', async () => {
    const receiver = await start()
    for (const narrative of ['one', 'two']) await receiver.post(scn01({ narrative }))
    const records = recordsPath(receiver.dataDir)
    writeFileSync(records, readFileSync(records, 'utf8').replace('"one"', '"eno"'))
    assert.equal((await receiver.post(scn01({ narrative: 'three' }))).status, 503)
    await receiver.stop()
    const again = await start({ DATA_DIR: receiver.dataDir })
    fires(await until(again, 'civic_refused_associations', 1), soon, ['CivicAssociationRefused'])
    await again.stop()
  })

  test('a long records file is still being read', async () => {
    const root = scratchDir()
    build(root, 6_000)
    const inject = ['-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=300000']
    const receiver = await start({ DATA_DIR: root }, [
      'strace',
      '-D',
      '-f',
      '-o',
      '/dev/null',
      ...inject,
      ...receiverCommand,
    ])
    fires(await until(receiver, 'civic_reading_associations', 1), late, ['CivicReadingForLong'])
    await receiver.stop('SIGKILL')
  })

  test('a backup fails, or no backup is made', async () => {
    const [status, backups] = [join(scratchDir(), 'status.json'), join(scratchDir(), 'backups')]
    const receiver = await start({ BACKUP_STATUS: status })
    const run = (data: string) => said(runBackup, backups, '--unsigned', '--data', data, '--status', status)
    assert.equal((await receiver.post(vs01(submitted()))).status, 201)
    assert.equal((await run(receiver.dataDir)).exit, 0)
    const made = await scrape(receiver.url)
    requireFiring({ before: made, after: made, hoursLater: 35.9 }, soon, ['CivicNoBackup'])
    provoked.add('CivicNoBackup')
    assert.equal((await run('/nowhere')).exit, 2)
    fires(await scrape(receiver.url), soon, ['CivicBackupFailed'], made)
    rmSync(status)
    fires(await scrape(receiver.url), soon, ['CivicNoBackup'], made)
    await receiver.stop()
  })

  test('nobody reads standard output', async (t) => {
    const receiver = await startMuted(filledFifo(), { METRICS: '1' })
    t.after(() => receiver.child.kill('SIGKILL'))
    // The receiver gathers the first lines for a moment before they count as waiting.
    const waiting = await until(receiver, 'civic_log_waiting_bytes', (bytes) => bytes > 0)
    fires(waiting, late, ['CivicLogLost'])
    receiver.child.kill('SIGKILL')
    await receiver.ended
  })

  test('a mistake in the configuration or a missing mark ends the start', async () => {
    const root = scratchDir()
    const { url, port } = await portOfEnded()
    for (const mistake of [{ NODE_TOKEN: 'short' }, { DATA_DIR: join(root, 'not-mounted') }]) {
      assert.equal(startInProduction({ DATA_DIR: root, PORT: port, ...mistake }), 78)
      fires(await scrape(url), soon, ['CivicReceiverDown'])
    }
  })

  test('a restore was cut off: paused where the directory has a mark, exit 78 where it has none', async () => {
    const [data, backups] = [scratchDir(), join(scratchDir(), 'backups')]
    build(data, 3)
    assert.equal((await said(runBackup, backups, '--unsigned', '--data', data)).exit, 0)
    const restoring = await commandOf('scripts/restore.ts')
    const cutOff = (target: string): void => {
      const kill = ['-e', 'trace=rename', '-e', 'inject=rename:signal=SIGKILL:when=1']
      const restore = [...restoring, backups, target, '--unsigned', '--owner', '0:0']
      const strace = ['-f', '-qq', '-o', '/dev/null', ...kill, ...restore]
      const { signal } = spawnSync('strace', strace, { env: { ...process.env, TSX_DISABLE_CACHE: '1' } })
      assert.equal(signal, 'SIGKILL')
    }
    const marked = scratchDir()
    await markDirectory(marked)
    cutOff(marked)
    const receiver = await start({ DATA_DIR: marked })
    fires(await scrape(receiver.url), late, ['CivicPausedForLong'])
    await receiver.stop()
    const unmarked = scratchDir()
    cutOff(unmarked)
    const { url, port } = await portOfEnded()
    assert.equal(startInProduction({ DATA_DIR: unmarked, PORT: port }), 78)
    fires(await scrape(url), soon, ['CivicReceiverDown'])
  })

  test('a reload of the tokens is refused', async () => {
    const file = join(scratchDir(), 'token')
    writeFileSync(file, token)
    const receiver = await start({ NODE_TOKEN: '', NODE_TOKEN_FILE: file })
    const wellFile = await scrape(receiver.url)
    const bad: readonly (() => void)[] = [
      () => writeFileSync(file, ''),
      () => writeFileSync(file, 'short'),
      () => {},
      () => execFileSync('mkfifo', [file]),
    ]
    for (const replace of bad) {
      rmSync(file)
      replace()
      receiver.process.kill('SIGHUP')
      fires(await until(receiver, 'civic_tokens_refused', 1), soon, ['CivicTokensRefused'], wellFile)
      rmSync(file, { force: true })
      writeFileSync(file, token)
      receiver.process.kill('SIGHUP')
      fires(await until(receiver, 'civic_tokens_refused', 0), soon, [], wellFile)
    }
    await receiver.stop()
  })

  test('a pull fails and no release gets ready', async (t) => {
    const small = await makeSmallHost()
    t.after(() => small.close())
    for (const version of ['0.0.1', '0.0.2'])
      writeFileSync(join(small.release(version), 'server.cjs'), 'process.exit(78)\n')
    const { code, output } = await small.host.run('pull', [small.archive('0.0.4')], {
      env: { CIVIC_READY_SECONDS: '1' },
    })
    assert.equal(code, 1, output)
    assert.match(output, /there is no release to go back to that does/)
    fires(await scrape(small.host.url, 2_000), soon, ['CivicReceiverDown'])
  })

  test('the unit of the time stamps has failed', () => {
    // node_exporter has this series.
    const series = 'node_systemd_unit_state{name="civic-orchestrator-witness.service",state="failed"}'
    const [inOrder, failed] = [0, 1].map((value): Scrape => new Map([...well, [series, value]]))
    fires(failed as Scrape, soon, ['CivicHeadsNotStamped'], inOrder)
  })
})

describe('because of the answers to posts an alert fires when', options, () => {
  test('the token is wrong', async () => {
    const receiver = await start()
    for (let n = 0; n < 6; n++) await receiver.post(vs01(), { 'x-node-token': 'wrong' })
    fires(await scrape(receiver.url), soon, ['CivicWrongToken'])
    await receiver.stop()
  })

  test('an envelope is refused', async () => {
    for (const [body, status] of [
      [vs01({ fields: {} }), 422],
      ['{', 400],
    ] as const) {
      const receiver = await start()
      assert.equal((await receiver.post(body)).status, status)
      fires(await scrape(receiver.url), soon, ['CivicEnvelopesRefused'])
      await receiver.stop()
    }
  })

  test('an envelope cannot be stored', async () => {
    const receiver = await start({ MIN_FREE_BYTES: String(10 ** 15) })
    assert.equal((await receiver.post(vs01(submitted()))).status, 507)
    fires(await scrape(receiver.url), soon, ['CivicDiskAlmostFull', 'CivicNotReady', 'CivicNotStored'])
    await receiver.stop()
  })

  test('the disk is slow', async () => {
    const receiver = await start()
    const inject = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:delay_enter=1200000']
    const trace = await attach(receiver.process.pid as number, join(scratchDir(), 'trace'), inject)
    assert.equal((await receiver.post(scn01(submitted()))).status, 201)
    await trace.end()
    fires(await scrape(receiver.url), late, ['CivicSlowDisk'])
    await receiver.stop()
  })

  test('another process keeps a lock', async () => {
    const receiver = await start()
    const lock = join(dirname(recordsPath(receiver.dataDir)), lockName)
    mkdirSync(lock, { recursive: true })
    const beat = setInterval(() => utimesSync(lock, new Date(), new Date()), 500)
    assert.equal((await receiver.post(scn01(submitted()))).status, 503)
    const after = await until(receiver, 'civic_locked_associations', 1)
    clearInterval(beat)
    fires(after, late, ['CivicAssociationLocked', 'CivicLockWaits', 'CivicNotStored'])
    await receiver.stop()
  })

  test('the log does not fit on its disk', async (t) => {
    const receiver = await startMuted(openSync('/dev/full', 'w'), { METRICS: '1' })
    t.after(() => receiver.child.kill('SIGKILL'))
    const first = await scrape(receiver.url)
    assert.equal((await fetch(`${receiver.url}/nowhere`)).status, 404)
    let after = first
    const lost = 'civic_log_lost_lines_total'
    while (after.get(lost) === first.get(lost)) after = await scrape(receiver.url)
    fires(after, late, ['CivicLogLost'], first)
    receiver.child.kill('SIGTERM')
    assert.equal(await receiver.ended, 0)
  })

  test('the clock is far from the senders', async () => {
    const receiver = await start()
    assert.equal((await receiver.post(vs01(submitted(3)))).status, 201)
    const after = await scrape(receiver.url)
    fires(after, soon, [])
    fires(after, late, ['CivicClockFar'])
    await receiver.stop()
  })
})

test('every alert was provoked', { skip: options.skip }, () => {
  const named = readFileSync('deploy/prometheus/alerts.yml', 'utf8').matchAll(/- alert: (\w+)/g)
  assert.deepEqual(
    [...named].map(([, name]) => name).filter((name) => !provoked.has(name as string)),
    [],
  )
})
