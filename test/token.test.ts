/** deploy/token: under load, interrupted, with files that were typed by hand, and when another program answers in place of the receiver. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type HostInService, makeHostInService } from './deploy/host.ts'
import { runUntilCall } from './deploy/kills.ts'
import { send } from './deploy/senders.ts'
import { missingHere } from './needs.ts'

describe('token', { skip: missingHere(['strace']) && 'it needs strace and root' }, () => {
  let host: HostInService

  before(async () => {
    host = await makeHostInService()
  })
  after(() => host.close())

  test('two steps lose no post; revoking ends every earlier token at once', async () => {
    const old = host.token()
    let known = old
    const load = send({ url: host.url, token: () => known, senders: 8, keepAlive: true })
    const rotated = await host.run('token', ['rotate'])
    assert.equal(rotated.code, 0, rotated.output)
    const fresh = host.token()
    assert.notEqual(fresh, old)
    assert.ok(rotated.output.includes(fresh))
    assert.equal(await host.post(old), 201)
    const again = await host.run('token', ['rotate'])
    assert.equal(again.code, 0, again.output)
    assert.ok(again.output.includes(fresh), 'goes on with the first, and shows its token')
    // The operator gives Hubzilla the new token.
    known = fresh
    const seen = load.count()
    // Wait until no request with the old token is in flight any more.
    while (load.count() < seen + 16) await nextTurn()
    assert.equal((await host.run('token', ['retire'])).code, 0)
    assert.equal(await host.post(old), 401)
    assert.deepEqual((await load.end()).failed, [])

    assert.equal((await host.run('token', ['revoke'])).code, 0)
    assert.equal(await host.post(fresh), 401)
    assert.equal(await host.post(host.token()), 201)
    assert.match(readFileSync(join(host.root, 'etc/env_file'), 'utf8'), /# a comment stays/)
  })

  test('a new token that is refused leaves the old one in force', async () => {
    const good = host.token()
    const file = join(host.root, 'etc/env_file')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace(good, 'short'))
    execFileSync(host.env.CIVIC_SERVICE as string, ['reload'], { env: host.env as NodeJS.ProcessEnv })
    const log = (): string => readFileSync(join(host.root, 'log'), 'utf8')
    while (!log().includes('the new tokens are refused')) await nextTurn()
    assert.equal(await host.post(good), 201)
    writeFileSync(file, text)
  })

  test('interrupted at any point and run again, rotate prints the token that is accepted, and no token is lost', async () => {
    let wasWritten = 0
    // The signal comes before the new file is in its place, right after, and during the reload of the receiver.
    for (const n of [16, 20, 32]) {
      const before = host.token()
      const { at } = await runUntilCall(host, 'token', ['rotate'], n)
      if (host.token() !== before) wasWritten++
      const again = await host.run('token', ['rotate'])
      assert.equal(again.code, 0, `${at}\n${again.output}`)
      assert.notEqual(host.token(), before, at)
      assert.equal(again.output.trim().split('\n').at(-1), host.token(), at)
      for (const token of [before, host.token()]) assert.equal(await host.post(token), 201, at)
      assert.equal((await host.run('token', ['retire'])).code, 0)
      assert.equal(await host.post(before), 401)
      assert.deepEqual(readdirSync(join(host.root, 'etc')).sort(), ['allowed_signers', 'env_file'])
    }
    assert.ok(wasWritten > 0 && wasWritten < 3, `${wasWritten} were interrupted after the file was written`)
  })

  test('line ends of Windows, blanks and quotes in env_file are not part of the token', async () => {
    const file = join(host.root, 'etc/env_file')
    const token = 'typed-by-hand-'.padEnd(40, 'q')
    writeFileSync(file, `# typed in an editor\r\n  NODE_TOKEN = "${token}" \r\nLOG_LEVEL=info\r\n`)
    execFileSync(host.env.CIVIC_SERVICE as string, ['reload'], { env: host.env as NodeJS.ProcessEnv })
    const rotated = await host.run('token', ['rotate'])
    assert.equal(rotated.code, 0, rotated.output)
    for (const each of [token, host.token()]) assert.equal(await host.post(each), 201)
    assert.equal((await host.run('token', ['retire'])).code, 0)
    assert.equal(await host.post(token), 401)
  })

  test('an answer that is neither a refusal nor an acceptance by the receiver counts as neither', async () => {
    const other = createServer((_, response) => response.writeHead(502).end('Bad gateway')).listen(
      0,
      '127.0.0.1',
    )
    await once(other, 'listening')
    const address = join(host.root, '.address')
    const own = readFileSync(address)
    writeFileSync(address, `127.0.0.1:${(other.address() as { port: number }).port}\n`)
    const { code, output } = await host.run('token', ['rotate'])
    writeFileSync(address, own)
    other.close()
    assert.equal(code, 1, output)
    assert.match(output, /accepted was expected and not seen/)
    assert.equal((await host.run('token', ['rotate'])).code, 0)
    assert.equal((await host.run('token', ['retire'])).code, 0)
  })

  test('an emptied env_file is reported, with what to do', async () => {
    const file = join(host.root, 'etc/env_file')
    const text = readFileSync(file)
    writeFileSync(file, '')
    const { code, output } = await host.run('token', ['rotate'])
    writeFileSync(file, text)
    assert.equal(code, 1)
    assert.match(output, /there is no NODE_TOKEN in .*: run install again/)
  })
})
