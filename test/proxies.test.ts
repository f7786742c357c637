/**
 * The shipped configuration of each proxy in front of a real receiver on its unix socket. Only /receive can be reached from outside,
 * refusals are those of the receiver, and no log holds the token.
 */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { provoke } from './deploy/provoke.ts'
import { type Host, makeHost, missing, proxies, settings, startProxy } from './deploy/proxies.ts'
import { type Receiver, scratchDir, startReceiver, token } from './receiver.ts'

for (const proxy of proxies)
  describe(`${proxy.program} with deploy/proxy/${proxy.source}`, { skip: missing(proxy) }, () => {
    let host: Host
    let receiver: Receiver
    let running: ChildProcess
    let said = ''
    const dataDir = scratchDir()

    before(async () => {
      host = await makeHost()
      receiver = await startReceiver(settings(host, dataDir))
      running = startProxy(proxy, host, (text) => {
        said += text
      })
    })
    after(async () => {
      running?.kill('SIGTERM')
      await receiver?.stop()
      if (running?.exitCode === null && running.signalCode === null) await once(running, 'exit')
    })

    test('passes on posts and nothing else; refusals are the receiver’s; no log has the token', async () => {
      const outputs: string[] = []
      const wrong = await provoke({
        port: host.port,
        token,
        async down() {
          outputs.push(receiver.output())
          await receiver.stop()
        },
        async up() {
          receiver = await startReceiver(settings(host, dataDir))
        },
      })
      assert.deepEqual(wrong, [])
      const logs = readdirSync(host.work)
        .filter((name) => name.endsWith('.log'))
        .map((name) => readFileSync(join(host.work, name), 'utf8'))
      const all = [said, ...logs, ...outputs, receiver.output()].join('\n')
      for (const line of proxy.logged) assert.match(all, line)
      assert.ok(!all.includes(token), 'the token is in a log')
    })
  })
