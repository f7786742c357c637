/** The configuration in OPERATORS.md for several receivers behind one address: a receiver is killed, and every post gets its receipt. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './bound.ts'
import { endTogether } from './guard.ts'
import { lacking } from './needs.ts'
import { type Receiver, scratchDir, startReceiver, token, vs01 } from './receiver.ts'

/** The block of OPERATORS.md that begins with these words, with the addresses of two real receivers. */
function guided(beginning: string, [one, two]: readonly Receiver[]): string {
  const text = readFileSync('deploy/OPERATORS.md', 'utf8')
  const found = new RegExp(`^    ${beginning}[^]*?(?=\\n\\n[^ ])`, 'm').exec(text)?.[0]
  assert.ok(found, `OPERATORS.md has no ${beginning}`)
  const host = (receiver: Receiver | undefined): string => new URL(receiver?.url as string).host
  return found.replace('192.0.2.11:8787', host(one)).replace('192.0.2.12:8787', host(two))
}

function nginx(work: string, port: number, receivers: readonly Receiver[]): ChildProcess {
  const config = join(work, 'nginx.conf')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${work}/${name};`,
  )
  writeFileSync(
    config,
    `user ${execFileSync('id', ['-un']).toString().trim()}; daemon off; pid ${work}/pid; events {}
http { access_log off; ${paths.join(' ')}
${guided('upstream civic_orchestrator', receivers)}
server { listen 127.0.0.1:${port}; location = /receive { proxy_pass http://civic_orchestrator/receive; } } }`,
  )
  return spawn('nginx', ['-p', work, '-e', `${work}/error.log`, '-c', config], { stdio: 'ignore' })
}

function haproxy(work: string, port: number, receivers: readonly Receiver[]): ChildProcess {
  const config = join(work, 'haproxy.cfg')
  writeFileSync(
    config,
    `defaults
    mode http
    timeout connect 2s
    timeout client 15s
    timeout server 15s
frontend receiver
    bind 127.0.0.1:${port}
    default_backend civic_orchestrator
${guided('backend civic_orchestrator', receivers)}
`,
  )
  return spawn('haproxy', ['-db', '-f', config], { stdio: 'ignore' })
}

for (const [name, start] of [
  ['nginx', nginx],
  ['haproxy', haproxy],
] as const) {
  test(`${name}: a receiver is killed, and every post has its receipt`, {
    skip: lacking(name) && `${name} is not installed`,
  }, async () => {
    const dataDir = scratchDir()
    const receivers = [
      await startReceiver({ DATA_DIR: dataDir }),
      await startReceiver({ DATA_DIR: dataDir }),
    ] as const
    const port = await freePort()
    const proxy = start(scratchDir(), port, receivers)
    endTogether(proxy)
    const post = (what: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}/receive`, {
        method: 'POST',
        headers: { 'x-node-token': token },
        // No receiver keeps a lock for an overwritten record, so the other one never waits for it.
        body: JSON.stringify(vs01({ fields: { what } })),
      })
    try {
      // Wait until the proxy listens and knows that both receivers answer.
      while ((await post('first').catch(() => undefined))?.status !== 200) await sleep(50)
      const [victim] = receivers
      // Some of these posts reach the stopped receiver and get no answer. The other receiver answers the others.
      victim.process.kill('SIGSTOP')
      let answered = 0
      const posts = Array.from({ length: 8 }, (_, n) => post(`${n}`).finally(() => answered++))
      while (answered < 2) await sleep(20)
      victim.process.kill('SIGKILL')
      const statuses = (await Promise.all(posts)).map(({ status }) => status)
      assert.deepEqual(
        statuses.filter((status) => status !== 200 && status !== 201),
        [],
      )
      assert.ok((await post('after')).ok)
    } finally {
      proxy.kill('SIGTERM')
      await Promise.all(receivers.map((receiver) => receiver.stop('SIGKILL')))
    }
  })
}
