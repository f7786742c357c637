/**
 * The scripts of deploy/ on a host where an attacker controls the service user. Whatever the attacker puts into that user's directories, the
 * scripts write, make or give away no file of root, and never wait without end.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type HostInService, makeHostInService, serviceUser } from './deploy/host.ts'
import { missingHere } from './needs.ts'

const stranger = 64_124

describe('scripts of deploy/', { skip: missingHere(['setpriv']) && 'it needs root, for other users' }, () => {
  let host: HostInService

  before(async () => {
    host = await makeHostInService()
    mkdirSync(treasure(), { mode: 0o700 })
    writeFileSync(join(treasure(), 'secret'), 'of root', { mode: 0o600 })
  })
  after(() => host.close())

  /** A directory that belongs to root. */
  const treasure = (): string => join(host.root, 'treasure')
  const treasureIsUntouched = (): void => {
    const path = join(treasure(), 'secret')
    assert.deepEqual(readdirSync(treasure()), ['secret'])
    assert.equal(readFileSync(path, 'utf8'), 'of root')
    const { mode, uid } = statSync(path)
    assert.deepEqual([mode & 0o7777, uid], [0o600, 0])
    assert.deepEqual([statSync(treasure()).mode & 0o7777, statSync(treasure()).uid], [0o700, 0])
  }
  const asUser = (uid: number, ...command: string[]): string[] => [
    ...['--reuid', String(uid), '--regid', String(uid), '--clear-groups', '--'],
    ...command,
  ]
  const plant = (directory: string, line: string): void => {
    execFileSync('setpriv', asUser(serviceUser, 'sh', '-c', line), { cwd: join(host.root, directory) })
  }
  /** Runs JavaScript as the service user until `end` is called. */
  const attack = async (program: string): Promise<{ end(): Promise<void> }> => {
    const child: ChildProcess = spawn('setpriv', asUser(serviceUser, process.execPath, '-e', program), {
      cwd: host.root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    return {
      async end() {
        child.kill('SIGKILL')
        await once(child, 'exit')
      },
    }
  }

  const inThePlaceOfTheSwitch: readonly (readonly [name: string, line: () => string])[] = [
    ['a link to a file of root', () => `ln -s ${treasure()}/secret .paused`],
    ['a link to a directory of root', () => `ln -s ${treasure()} .paused`],
    ['a FIFO', () => 'mkfifo .paused'],
  ]
  for (const [name, line] of inThePlaceOfTheSwitch) {
    test(`pause replaces ${name}, and nothing of root's is touched`, async () => {
      plant('data', line())
      const paused = await host.run('pause', ['why'])
      assert.equal(paused.code, 0, paused.output)
      assert.equal(await host.post(host.token()), 503)
      treasureIsUntouched()
      assert.equal(statSync(join(host.root, 'data/.paused')).uid, serviceUser)
      const resumed = await host.run('resume')
      assert.equal(resumed.code, 0, resumed.output)
      assert.equal(await host.post(host.token()), 201)
      treasureIsUntouched()
    })
  }

  test('pause and resume report a foreign object at the name of their file, and leave it alone', async () => {
    plant('data', 'mkdir .paused && touch .paused/x')
    for (const args of [['pause', 'why'], ['resume']]) {
      const { code, output } = await host.run(args[0] as string, args.slice(1))
      assert.equal(code, 1)
      assert.match(output, /^\w+: .*\.paused could not be .* by the user 64123: [^\n]*\n$/)
    }
    plant('data', 'rm -r .paused')
  })

  test("a process that puts links in the place of everything that pause makes reaches nothing of root's", async () => {
    const racer = await attack(`
      const { readdirSync, rmSync, symlinkSync } = require('node:fs')
      console.log('at work')
      for (;;) for (const name of readdirSync('data')) {
        if (!/^\\.(paused|tmp-)/.test(name)) continue
        try { rmSync('data/' + name); symlinkSync(${JSON.stringify(join(treasure(), 'secret'))}, 'data/' + name) } catch {}
      }`)
    for (let n = 0; n < 3; n++) {
      await host.run('pause', [`reason ${n}`])
      await host.run('resume')
      treasureIsUntouched()
    }
    await racer.end()
    plant('data', 'rm -f .paused .tmp-*')
    assert.equal(await host.post(host.token()), 201)
  })

  test('a process that stops all processes of its user never blocks a script for ever', async () => {
    const stopper = await attack(`
      const { readdirSync, readFileSync, statSync } = require('node:fs')
      const forAMoment = new Int32Array(new SharedArrayBuffer(4))
      console.log('at work')
      for (;;) {
        let stopped = 0
        for (const pid of readdirSync('/proc')) {
          if (!/^\\d+$/.test(pid)) continue
          try {
            if (statSync('/proc/' + pid).uid === ${serviceUser} && !/node/.test(readFileSync('/proc/' + pid + '/comm'))) {
              process.kill(Number(pid), 'SIGSTOP')
              stopped++
            }
          } catch {}
        }
        // While a script waits for a stopped process, this one leaves the processor to others.
        if (stopped > 0) Atomics.wait(forAMoment, 0, 0, 5)
      }`)
    const { code, output } = await host.run('pause', ['why'])
    await stopper.end()
    assert.equal(code, 1, output)
    assert.match(output, /could not be written/)
    // A process that has ended since it was listed needs nothing.
    const goOn = `for p in $(ps -o pid= -u ${serviceUser}); do kill -CONT $p 2> /dev/null || :; done`
    execFileSync('sh', ['-c', goOn])
    assert.equal((await host.run('resume')).code, 0)
  })

  for (const [name, line] of [
    ['a link to a directory of root', () => `ln -sfn ${treasure()} node_token`],
    ['a link to a file of root', () => `ln -sfn ${treasure()}/secret node_token`],
    ['a FIFO', () => 'rm node_token && mkfifo node_token'],
  ] as const) {
    test(`a reload replaces ${name} in the place of the token's file, and the new token counts`, async () => {
      const old = host.token()
      plant('run', line())
      const { code, output } = await host.run('token', ['revoke'])
      assert.equal(code, 0, output)
      assert.equal(await host.post(old), 401)
      assert.equal(await host.post(host.token()), 201)
      treasureIsUntouched()
    })
  }

  test('a local user who locks every file that can be opened keeps nobody from revoking a token or going back', async () => {
    const line = `
      find ${host.root} ! -type l 2>/dev/null | while read -r path; do ( exec 8<"$path" && flock -n 8 && exec sleep 600 ) 2>/dev/null & done
      sleep 0; flock ${host.root}/.locks/pull true 2>/dev/null && echo 'the lock was had'
      echo ready; wait`
    const child = spawn('setpriv', asUser(stranger, 'bash', '-c', line), {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    })
    let said = ''
    for await (const chunk of child.stdout) {
      said += chunk
      if (said.includes('ready')) break
    }
    assert.equal(said, 'ready\n')
    assert.equal(statSync(join(host.root, '.locks')).mode & 0o777, 0o700)
    const revoked = await host.run('token', ['revoke'])
    assert.equal(revoked.code, 0, revoked.output)
    const back = await host.run('pull', ['rollback', '0.0.1'])
    assert.match(back.output, /0\.0\.1 is in service already/)
    process.kill(-(child.pid as number), 'SIGKILL')
  })

  test('text from the receiver reaches the terminal of root without control characters', async () => {
    const said = '\\u001b]52;c;AAAA\\u0007 \\u009b2J \\u202e back \\u0000 \\r'
    const shouter = host.publisher.small(
      '0.0.2',
      `require('node:http').createServer((_, answer) => answer.writeHead(503, { 'content-length': Buffer.byteLength('${said}') }).end('${said}')).listen({ fd: 3 })
       process.on('SIGTERM', () => process.exit(0))`,
    )
    const { code, output } = await host.run('pull', [shouter], { env: { CIVIC_READY_SECONDS: '8' } })
    assert.equal(code, 1, output)
    assert.match(output, /0\.0\.2 does not get ready within 8 s\. It said: \^\[\]52;c;AAAA\^G/)
    assert.match(output, /^[\n -~]*$/)
    assert.match(output, /0\.0\.1 is in service again/)
  })
})
