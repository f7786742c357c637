/** deploy/pull and the scripts beside it, run for real on a host without systemd: no unfit release gets into service. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { selfTest } from '../scripts/self-test.ts'
import { type Host, makeHost, makeKey, makePublisher, type Publisher, repack } from './deploy/host.ts'
import { send } from './deploy/senders.ts'
import { scn01, scratchDir } from './receiver.ts'

describe('pull', () => {
  let publisher: Publisher
  let host: Host
  let one: string
  let two: string

  before(async () => {
    publisher = makePublisher()
    host = await makeHost(publisher.signers)
    one = await publisher.release('0.0.1')
    two = await publisher.release('0.0.2')
  })
  after(async () => {
    await host.close()
    rmSync(publisher.directory, { recursive: true })
  })

  const post = (token: string): Promise<Response> =>
    fetch(`${host.url}/receive`, {
      method: 'POST',
      headers: { 'x-node-token': token },
      body: JSON.stringify(scn01({ narrative: crypto.randomUUID() })),
    })

  const leavesNothing = (): void => {
    const names = readdirSync(join(host.root, 'releases'))
    assert.deepEqual(
      names.filter((name) => name.startsWith('.')),
      [],
    )
  }

  test('puts a first release into service, says what it does, and may be run twice', async () => {
    const first = await host.run('pull', [one])
    assert.equal(first.code, 0, first.output)
    for (const line of [
      'signed by release',
      'version 0.0.1',
      '0 with another verdict',
      '0.0.1 is in service',
    ])
      assert.ok(first.output.includes(line), first.output)
    assert.equal((await post(host.token())).status, 201)
    const again = await host.run('pull', [one])
    assert.equal(again.code, 0, again.output)
    assert.match(again.output, /it is here already/)
    assert.equal(host.current(), '0.0.1')
    leavesNothing()
  })

  test('fetches from a URL, signature and all, and says so when it cannot', async () => {
    const server = createServer((request, response) => {
      const path = join(publisher.directory, basename(request.url as string))
      if (existsSync(path)) response.end(readFileSync(path))
      else response.writeHead(404).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const at = `http://127.0.0.1:${port}`
    const unsaid = await host.run('pull', [`${at}/${basename(one)}`])
    assert.equal(unsaid.code, 1)
    assert.match(unsaid.output, /say --plain-http/)
    const there = await host.run('pull', ['--plain-http', `${at}/${basename(one)}`])
    assert.equal(there.code, 0, there.output)
    const gone = await host.run('pull', ['--plain-http', `${at}/civic-orchestrator-9.9.9.tar.gz`])
    assert.equal(gone.code, 1)
    assert.match(gone.output, /could not be fetched/)
    leavesNothing()
    server.close()
  })

  test('upgrades and rolls back under load, six times: no post fails, and env_file is not touched', async () => {
    const envFile = join(host.etc, 'env_file')
    const known = (): unknown => [readFileSync(envFile, 'utf8'), statSync(envFile).ctimeMs]
    const before = known()
    const load = send({ url: host.url, token: host.token, senders: 16, keepAlive: true })
    const fresh = send({ url: host.url, token: host.token, senders: 4, keepAlive: false })
    for (let round = 0; round < 3; round++) {
      const up = await host.run('pull', [two])
      assert.equal(up.code, 0, up.output)
      assert.equal(host.current(), '0.0.2')
      const back = await host.run('pull', ['rollback'])
      assert.equal(back.code, 0, back.output)
      assert.equal(host.current(), '0.0.1')
    }
    assert.deepEqual(known(), before)
    for (const sender of [load, fresh]) {
      const { stored, failed } = await sender.end()
      assert.deepEqual(failed, [])
      assert.ok(stored > 50, String(stored))
    }
    assert.match((await host.run('pull', ['list'])).output, /0\.0\.2 {2}before it\n/)
  })

  test('refuses an archive that is altered, or not signed by a key that this host accepts, before it is unpacked', async () => {
    const stranger = makeKey(publisher.directory, 'stranger')
    const path = join(scratchDir(), basename(two))
    const signed = (key: string, namespace: string): void => {
      rmSync(`${path}.sig`, { force: true })
      execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-f', key, '-n', namespace, path], { stdio: 'ignore' })
    }
    const cases: [string, RegExp, () => void][] = [
      ['no signature', /there is no signature beside it/, () => rmSync(`${path}.sig`, { force: true })],
      ['a stranger', /not signed with a key/, () => signed(stranger, 'civic-orchestrator-release')],
      ['another purpose', /does not match/, () => signed(publisher.key, 'civic-orchestrator-backup')],
      [
        'a byte more',
        /does not match/,
        () => {
          signed(publisher.key, 'civic-orchestrator-release')
          appendFileSync(path, 'x')
        },
      ],
      [
        'no such signature',
        /not signed with a key/,
        () => writeFileSync(`${path}.sig`, readFileSync(one).subarray(0, 300)),
      ],
    ]
    for (const [name, says, prepare] of cases) {
      copyFileSync(two, path)
      prepare()
      const { code, output } = await host.run('pull', [path])
      assert.equal(code, 1, name)
      assert.match(output, says, name)
      assert.equal(host.current(), '0.0.1')
      leavesNothing()
    }
  })

  test('refuses a signed archive whose files are not those of its sums', async () => {
    const cases: [string, RegExp, boolean, (directory: string) => void][] = [
      ['a file altered', /not as SHA256SUMS/, false, (at) => appendFileSync(join(at, 'server.cjs'), ' ')],
      ['a file more', /not as SHA256SUMS/, false, (at) => writeFileSync(join(at, 'more.cjs'), '')],
      ['a file less', /not as SHA256SUMS/, false, (at) => rmSync(join(at, 'LICENSE'))],
      [
        'a link',
        /not as SHA256SUMS/,
        false,
        (at) => execFileSync('ln', ['-s', '/etc/passwd', join(at, 'link')]),
      ],
      ['other content', /0\.0\.1 with other content/, true, (at) => appendFileSync(join(at, 'LICENSE'), ' ')],
    ]
    for (const [name, says, resum, alter] of cases) {
      const path = join(scratchDir(), basename(one))
      copyFileSync(one, path)
      repack(path, alter, resum)
      execFileSync(
        'ssh-keygen',
        ['-Y', 'sign', '-q', '-f', publisher.key, '-n', 'civic-orchestrator-release', path],
        {
          stdio: 'ignore',
        },
      )
      const { code, output } = await host.run('pull', [path])
      assert.equal(code, 1, `${name}: ${output}`)
      assert.match(output, says, name)
      assert.equal(host.current(), '0.0.1')
      leavesNothing()
    }
  })

  test('refuses a release that does not keep its contracts', async () => {
    const forgetful = await publisher.release('0.0.9', (directory) => {
      const file = join(directory, 'server.cjs')
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll('fdatasync', 'noSuchCall'))
    })
    const { code, output } = await host.run('pull', [forgetful])
    assert.equal(code, 1, output)
    assert.match(output, /refused: it does not work on this host/)
    assert.equal(host.current(), '0.0.1')
    leavesNothing()
  })

  test('pause closes with its reason, another release does not open, resume does', async () => {
    const reason = 'counting "paper" votes'
    assert.equal((await host.run('pause')).code, 2)
    assert.equal((await host.run('pause', [reason])).code, 0)
    const refused = await post(host.token())
    assert.equal(refused.status, 503)
    assert.match(((await refused.json()) as { detail: string }).detail, /counting "paper" votes/)
    const { code, output } = await host.run('pull', ['rollback'])
    assert.equal(code, 0, output)
    assert.equal((await post(host.token())).status, 503)
    assert.equal((await host.run('resume')).code, 0)
    assert.equal((await post(host.token())).status, 201)
    assert.ok(!existsSync(join(host.root, 'data/.paused')))
  })
})

test('the self-test notices a server that does not keep a contract', async () => {
  const server = [process.execPath, '-e', impostor]
  const { tried, wrong } = await selfTest(server, 'contracts/vectors')
  assert.ok(tried > 100)
  assert.ok(wrong.length > 100)
  await assert.rejects(selfTest([process.execPath, '-e', ''], 'contracts/vectors'), /the server ended \(0\)/)
})

/** A server that accepts everything and stores nothing. */
const impostor = `const s = require('node:http').createServer((q, a) => {
  q.resume().on('end', () => a.writeHead(201).end('{"addon":"x","association_slug":"x","participant_id":"x"}'))
}).listen(0, () => console.log('"port":' + s.address().port + ',"msg":"listening"'))
process.on('SIGTERM', () => process.exit(0))`
