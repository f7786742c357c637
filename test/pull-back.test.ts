/** deploy/pull with a release that does not get ready: the release that got ready last is put back, however the pull ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { makeSmallHost, type SmallHost } from './deploy/small-host.ts'

describe('pull', () => {
  let small: SmallHost

  before(async () => {
    small = await makeSmallHost()
  })
  after(() => small.close())

  test('goes back to the release that got ready last, and keeps that release, not one that never got ready', async () => {
    const listed = async (): Promise<string> => (await small.host.run('pull', ['list'])).output
    for (let n = 0; n < 2; n++) {
      const output = await small.refused(
        [small.archive('0.0.4')],
        /0\.0\.4 does not get ready within 4 s\./,
        {
          CIVIC_READY_SECONDS: '4',
        },
      )
      assert.match(output, /going back to 0\.0\.2\n.*0\.0\.2 is in service again/)
      assert.ok(await small.answers())
    }
    assert.match(await listed(), /0\.0\.4 {2}did not get ready yet\n/)
    assert.match(await listed(), /0\.0\.2 {2}in service\n/)
    assert.match(await listed(), /0\.0\.1 {2}before it\n/)
    await small.inService('0.0.3')
    assert.deepEqual(readdirSync(join(small.host.root, 'releases')).sort(), ['0.0.1', '0.0.2', '0.0.3'])
    await small.inService('0.0.2')
  })

  test('version 1.0 recorded no good releases: the release that answers counts as good, and so does the one before it', async () => {
    rmSync(join(small.host.root, 'good'))
    symlinkSync('releases/0.0.1', join(small.host.root, 'previous'))
    await small.refused([small.archive('0.0.4')], /going back to 0\.0\.2\n/, { CIVIC_READY_SECONDS: '4' })
    assert.equal(readFileSync(join(small.host.root, 'good'), 'utf8'), '0.0.2\n0.0.1\n')
    assert.ok(!existsSync(join(small.host.root, 'previous')))
    rmSync(small.release('0.0.4'), { recursive: true })
  })

  /** Sends the signal to a pull that has just switched to a release that does not start, and waits for the end of the pull. */
  const interrupted = async (signal: NodeJS.Signals): Promise<void> => {
    const child = spawn(resolve('deploy/pull'), [small.archive('0.0.4')], {
      env: { ...small.host.env, CIVIC_READY_SECONDS: '6' } as NodeJS.ProcessEnv,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let said = ''
    for await (const chunk of child.stdout) {
      said += chunk
      if (said.includes('switching to 0.0.4')) break
    }
    child.stderr.destroy()
    if (signal === 'SIGKILL') while (small.host.current() !== '0.0.4') await delay(10)
    process.kill(-(child.pid as number), signal)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }

  test('after a pull was killed behind the switch to a release that does not start, nobody has to run anything', async () => {
    await interrupted('SIGKILL')
    while (existsSync(join(small.host.root, 'back'))) await delay(50)
    assert.equal(small.host.current(), '0.0.2')
    assert.ok(await small.answers())
    assert.equal(readFileSync(join(small.host.root, 'good'), 'utf8').split('\n')[0], '0.0.2')
    assert.match(readFileSync(join(small.host.root, 'settled'), 'utf8'), /going back to 0\.0\.2/)
  })

  test('a release that is ready stays in service, though there is no room to record that it is good', async () => {
    const { host } = small
    const inTheWay = join(host.root, 'good.new')
    mkdirSync(inTheWay)
    const { code, output } = await host.run('pull', [small.archive('0.0.3')])
    assert.equal(code, 1)
    assert.match(output, /0\.0\.3 is in service and ready, but .* could not be written/)
    assert.equal((await host.run('pull', ['settle'])).code, 0)
    assert.equal(host.current(), '0.0.3')
    rmSync(inTheWay, { recursive: true })
    await small.inService('0.0.2')
  })

  for (const [name, signal] of [
    ['a terminal that is closed', 'SIGHUP'],
    ['Ctrl-C', 'SIGINT'],
  ] as const) {
    test(`${name} after the switch to a release that does not start leaves the host with one that does`, async () => {
      await interrupted(signal)
      assert.equal(small.host.current(), '0.0.2')
      assert.ok(await small.answers())
    })
  }
})
