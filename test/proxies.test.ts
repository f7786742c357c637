/**
 * The shipped configuration of each proxy in front of a real receiver on its unix socket. Only /receive can be reached from outside,
 * refusals are those of the receiver, and no log holds the token.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { provoke } from './deploy/provoke.ts'
import { inFrontOfReceiver, missing, proxies } from './deploy/proxies.ts'
import { token } from './receiver.ts'

for (const proxy of proxies)
  describe(`${proxy.program} with deploy/proxy/${proxy.source}`, { skip: missing(proxy) }, () => {
    const front = inFrontOfReceiver(proxy)

    test('passes on posts and nothing else; refusals are the receiver’s; no log has the token', async () => {
      const { host } = front
      const outputs: string[] = []
      const wrong = await provoke({
        port: host.port,
        token,
        async down() {
          outputs.push(front.receiver.output())
          await front.receiver.stop()
        },
        async up() {
          front.receiver = await front.startReceiver()
        },
      })
      assert.deepEqual(wrong, [])
      const logs = readdirSync(host.work)
        .filter((name) => name.endsWith('.log'))
        .map((name) => readFileSync(join(host.work, name), 'utf8'))
      const all = [front.said, ...logs, ...outputs, front.receiver.output()].join('\n')
      for (const line of proxy.logged) assert.match(all, line)
      assert.ok(!all.includes(token), 'the token is in a log')
    })
  })
