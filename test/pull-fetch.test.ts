/** How deploy/pull fetches archives: from servers that stall, never stop sending or redirect, onto full disks, and at the first installation. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { basename, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { sign } from '../src/backup/signature.ts'
import { makeHost, makeKey } from './deploy/host.ts'
import { makeSmallHost, type SmallHost } from './deploy/small-host.ts'
import { mountNew } from './faults/mounts.ts'
import { isRoot } from './needs.ts'
import { scratchDir } from './receiver.ts'

describe('pull', () => {
  let small: SmallHost

  before(async () => {
    small = await makeSmallHost()
  })
  after(() => small.close())

  /** Starts a server at `http://127.0.0.1:<port>` that runs until the test has ended. */
  const serving = async (listener: RequestListener): Promise<{ at: string; close(): void }> => {
    const server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      at: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
      close() {
        server.close()
        server.closeAllConnections()
      },
    }
  }
  /** A PATH with all programs of this machine except curl. */
  const withoutCurl = (): string => {
    const bin = scratchDir()
    for (const directory of (process.env.PATH ?? '').split(':').filter(existsSync)) {
      for (const name of readdirSync(directory)) {
        if (name !== 'curl' && !existsSync(join(bin, name)))
          symlinkSync(join(directory, name), join(bin, name))
      }
    }
    execFileSync('chmod', ['755', bin])
    return bin
  }
  const name = 'civic-orchestrator-0.0.3.tar.gz'

  for (const program of ['curl', 'wget']) {
    test(`with ${program}: a server that stalls, has no end, or sends elsewhere is refused, and keeps no rollback waiting`, async () => {
      const env: Record<string, string> = program === 'wget' ? { PATH: withoutCurl() } : {}
      const asked = new EventEmitter()
      const stalling = await serving((_, response) => {
        response.writeHead(200).write('x')
        asked.emit('now')
      })
      const waiting = small.host.run('pull', ['--plain-http', `${stalling.at}/${name}`], { env })
      await once(asked, 'now')
      for (const version of ['0.0.1', '0.0.2'])
        assert.equal((await small.host.run('pull', ['rollback', version])).code, 0)
      stalling.close()
      assert.equal((await waiting).code, 1)

      const slow = await serving((_, response) => void response.writeHead(200).write('x'))
      await small.refused(['--plain-http', `${slow.at}/${name}`], /could not be fetched within 2 s/, {
        ...env,
        CIVIC_FETCH_SECONDS: '2',
      })
      slow.close()

      let sent = 0
      const endless = await serving((_, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536
        }
        response.writeHead(200).on('drain', more)
        more()
      })
      await small.refused(['--plain-http', `${endless.at}/${name}`], /is larger than 8388608 bytes/, env)
      endless.close()
      assert.ok(sent < 2 ** 25, `${sent} bytes`)

      const elsewhere: string[] = []
      const other = await serving((request, response) => {
        elsewhere.push(request.url as string)
        response.end(readFileSync(join(small.publisher.directory, basename(request.url as string))))
      })
      const sending = await serving((request, response) =>
        response.writeHead(302, { location: `${other.at}${request.url}` }).end(),
      )
      await small.refused(['--plain-http', `${sending.at}/${name}`], /could not be fetched/, env)
      assert.deepEqual(elsewhere, [])
      await small.refused([`${other.at}/${name}`], /say --plain-http/, env)
      await small.refused([`ftp://127.0.0.1/${name}`], /fetched over https, or it is a file/, env)
      assert.deepEqual(elsewhere, [])
      for (const server of [sending, other]) server.close()
    })
  }

  test('on a full disk it ends with one sentence, and the release in service goes on', {
    skip: !isRoot && 'it needs root',
  }, async () => {
    const full = await makeHost(small.publisher.signers)
    const releases = mountNew('tmpfs', join(full.root, 'releases'))
    const scratch = mountNew('tmpfs', join(full.root, 'scratch'))
    const fill = (path: string): void => {
      execFileSync('sh', ['-c', `cat /dev/zero > ${path}/filling 2>/dev/null || true`])
    }
    assert.equal((await full.run('pull', [small.archive('0.0.1')])).code, 0)
    fill(releases.path)
    const noRelease = await full.run('pull', [small.archive('0.0.2')])
    fill(scratch.path)
    const noScratch = await full.run('pull', [small.archive('0.0.2')], { env: { TMPDIR: scratch.path } })
    const response = await fetch(full.url, { method: 'POST' })
    releases.remove()
    scratch.remove()
    await full.close()
    assert.equal(noRelease.code, 1)
    assert.match(
      noRelease.output,
      /^pull: signed by release\npull: [^\n]*no room is left on the disk, nothing was changed\n$/,
    )
    assert.equal(noScratch.code, 1)
    assert.match(noScratch.output, /^pull: [^\n]*no room is left on the disk, nothing was changed\n$/)
    assert.equal(response.status, 201)
  })

  test('the first installation, pasted from OPERATORS.md, ends at a bad signature', async () => {
    const text = readFileSync('deploy/OPERATORS.md', 'utf8')
    const block = /^## Install .*?\n\n((?: {4}.*\n)+)/ms.exec(text)?.[1] as string
    assert.match(block, /deploy\/install --signers/)
    const stranger = makeKey(small.publisher.directory, 'stranger')
    for (const [key, ran] of [
      [stranger, false],
      [small.publisher.key, true],
    ] as const) {
      const work = scratchDir()
      const root = join(work, 'civic-orchestrator-1.0.0')
      mkdirSync(join(root, 'deploy'), { recursive: true })
      writeFileSync(join(root, 'deploy/install'), '#!/bin/sh\ntouch was-run\n', { mode: 0o755 })
      copyFileSync(small.publisher.signers, join(work, 'allowed_signers'))
      execFileSync('tar', ['-czf', `${root}.tar.gz`, '-C', work, basename(root)])
      rmSync(root, { recursive: true })
      sign(`${root}.tar.gz`, key, 'civic-orchestrator-release')
      const shell: ChildProcess = spawn('bash', [], { cwd: work, stdio: ['pipe', 'ignore', 'ignore'] })
      shell.stdin?.end(block)
      await once(shell, 'exit')
      assert.equal(existsSync(root), ran)
      assert.equal(existsSync(join(work, 'was-run')), ran)
    }
  })
})
