/** The unix socket of SOCKET and the sockets that systemd hands over, with real sockets, users and kills. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, request } from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { ConfigError, readConfig } from '../src/server/config.ts'
import { listen } from '../src/server/listen.ts'
import { boundPort, boundSocket } from './bound.ts'
import { receiverCommand } from './bundle.ts'
import { endTogether } from './guard.ts'
import { isRoot } from './needs.ts'
import { scn01, scratchDir, token, vs01 } from './receiver.ts'

type Started = {
  readonly child: ChildProcess
  readonly output: () => string
  /** Waits for so many lines "listening". Rejects when the receiver ends before. */
  listening(count?: number): Promise<void>
  /** Resolves with the exit code or the signal when the receiver has ended. */
  ended(): Promise<number | string>
}

/** Starts a receiver. `fds` are the sockets that the test hands over as systemd would. */
function start(env: Record<string, string>, fds: readonly number[] = []): Started {
  const handing = fds.length === 0 ? {} : { LISTEN_FDS: String(fds.length) }
  const child = spawn('sh', ['-c', `LISTEN_PID=$$ exec ${receiverCommand.join(' ')}`], {
    env: {
      PATH: process.env.PATH,
      DATA_DIR: scratchDir(),
      NODE_TOKEN: token,
      MIN_FREE_BYTES: '0',
      ...handing,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe', ...fds],
  })
  endTogether(child)
  const exit = once(child, 'exit').then(([code, signal]) => code ?? signal)
  let output = ''
  const arrived: (() => void)[] = []
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      output += chunk
      for (const look of arrived) look()
    })
  return {
    child,
    output: () => output,
    ended: () => exit,
    listening: (count = 1) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (output.split('"msg":"listening"').length > count) resolve()
        }
        arrived.push(look)
        look()
        void exit.then((code) => reject(new Error(`ended with ${code}: ${output}`)))
      }),
  }
}

type Way = { socketPath: string } | { port: number }

function over(way: Way, method: string, path: string, envelope?: object): Promise<number | undefined> {
  const body = envelope ? JSON.stringify(envelope) : ''
  const headers = { 'x-node-token': token, 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve, reject) => {
    request({ ...way, method, path, headers, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
      .on('error', reject)
      .end(body)
  })
}

const post = (way: Way, envelope: object = scn01()): Promise<number | undefined> =>
  over(way, 'POST', '/receive', envelope)

/** A directory of this user, and the path of a socket in it that does not exist yet. */
function place(): { directory: string; path: string } {
  const directory = scratchDir()
  return { directory, path: join(directory, 'http.sock') }
}

async function stopped(receiver: Started): Promise<void> {
  receiver.child.kill('SIGTERM')
  assert.equal(await receiver.ended(), 0, receiver.output())
}

/** Listens on a path in this process, for tests of the checks before the first connection. */
async function here(socket: string): Promise<{ close(): Promise<void> }> {
  const server = createServer()
  const { close } = await listen(server, [{ socket }])
  return {
    async close() {
      await close()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const refused = (socket: string, message: RegExp): Promise<void> =>
  assert.rejects(here(socket), { name: 'SocketRefusal', message })

/** Leaves a socket at this path as a process does that is killed while it listens. */
async function deadSocket(path: string): Promise<void> {
  const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('there'))`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.ok(lstatSync(path).isSocket())
}

describe('SOCKET', () => {
  test('(2): answers there, with the mode 0660, leaves nothing beside the socket, and no socket after its end', async () => {
    const { directory, path } = place()
    const receiver = start({ SOCKET: path })
    await receiver.listening()
    assert.equal(lstatSync(path).mode & 0o777, 0o660)
    assert.deepEqual(readdirSync(directory), ['http.sock'])
    assert.equal(await post({ socketPath: path }), 201)
    assert.equal(await over({ socketPath: path }, 'GET', '/ready'), 200)
    assert.match(receiver.output(), /"socket":".*http\.sock","msg":"listening"/)
    assert.doesNotMatch(receiver.output(), /"port"/, 'without HOST and PORT there is no TCP')
    await stopped(receiver)
    assert.deepEqual(readdirSync(directory), [])
  })

  test('with PORT as well listens on both, and answers on both before it ends', async () => {
    const { path } = place()
    const receiver = start({ SOCKET: path, PORT: '0' })
    await receiver.listening(2)
    const port = Number(/"port":(\d+)/.exec(receiver.output())?.[1])
    assert.equal(await post({ socketPath: path }), 201)
    assert.equal(await post({ port }), 200, 'the same record')
    // This request on the second listener is in flight when the signal comes.
    const line = net.connect(port, '127.0.0.1')
    const body = JSON.stringify(vs01())
    line.write(
      `POST /receive HTTP/1.1\r\nhost: x\r\nx-node-token: ${token}\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n`,
    )
    let answer = ''
    line.on('data', (chunk) => (answer += chunk))
    while (!answer.includes(' 100 ')) await once(line, 'data')
    receiver.child.kill('SIGTERM')
    while (!receiver.output().includes('"stopping"')) await once(receiver.child.stdout as net.Socket, 'data')
    line.write(body)
    await once(line, 'end')
    assert.match(answer, /HTTP\/1\.1 201 /)
    line.destroy()
    assert.equal(await receiver.ended(), 0)
  })

  test('may be of the group of a web server: a directory with the set-group-id bit gives it', {
    skip: !isRoot && 'it needs root, for another group',
  }, async () => {
    const { directory, path } = place()
    chownSync(directory, 0, 65_534)
    chmodSync(directory, 0o2750)
    const { close } = await here(path)
    assert.equal(lstatSync(path).gid, 65_534)
    const as = async (gid: string): Promise<string> => {
      const user = ['--reuid=65533', `--regid=${gid}`, '--clear-groups']
      const child = spawn('setpriv', [...user, process.execPath, '-e', connecting], {
        env: { SOCKET: path },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [said] = await once(child.stdout, 'data')
      return String(said)
    }
    assert.equal(await as('65534'), 'connected')
    assert.equal(await as('65533'), 'EACCES')
    await close()
  })

  test('(3): replaces what a killed receiver has left', async () => {
    const { directory, path } = place()
    const first = start({ SOCKET: path })
    await first.listening()
    first.child.kill('SIGKILL')
    await first.ended()
    assert.ok(existsSync(path))
    const second = start({ SOCKET: path })
    await second.listening()
    assert.equal(await post({ socketPath: path }), 201)
    assert.deepEqual(readdirSync(directory), ['http.sock'])
    await stopped(second)
  })

  test('(3): never takes a socket on which another process listens: exit 78', async () => {
    const { directory, path } = place()
    const first = net.createServer().listen(path)
    await once(first, 'listening')
    const receiver = start({ SOCKET: path })
    assert.equal(await receiver.ended(), 78)
    assert.match(receiver.output(), /another process listens/)
    assert.deepEqual(readdirSync(directory), ['http.sock'])
    first.close()
  })

  test('(3): of many that start at once on a dead socket one gets it, and serves', async () => {
    const { directory, path } = place()
    await deadSocket(path)
    const all = Array.from({ length: 3 }, () => start({ SOCKET: path }))
    const ends = await Promise.all(
      all.map((receiver) => Promise.race([receiver.listening().then(() => 'listens'), receiver.ended()])),
    )
    assert.deepEqual(ends.toSorted(), [78, 78, 'listens'])
    assert.equal(await post({ socketPath: path }), 201)
    assert.deepEqual(readdirSync(directory), ['http.sock'])
    await stopped(all[ends.indexOf('listens')] as Started)
  })

  test('(4): leaves anything alone that is no socket: a file, a directory, a link', async () => {
    const { directory, path } = place()
    const elsewhere = join(directory, 'elsewhere')
    writeFileSync(path, 'mine')
    await refused(path, /no socket/)
    assert.equal(readFileSync(path, 'utf8'), 'mine')
    rmSync(path)
    mkdirSync(path)
    await refused(path, /no socket/)
    rmSync(path, { recursive: true })
    await deadSocket(elsewhere)
    symlinkSync(elsewhere, path)
    await refused(path, /no socket/)
    assert.deepEqual(readdirSync(directory).toSorted(), ['elsewhere', 'http.sock'])
  })

  test('(4): at the end removes its own socket, and not that of another', async () => {
    const { path } = place()
    const { close } = await here(path)
    renameSync(path, `${path}.moved`)
    const other = net.createServer().listen(path)
    await once(other, 'listening')
    await close()
    assert.ok(existsSync(path))
    other.close()
  })

  test('(1): is refused where others could put a socket of theirs', async () => {
    const { directory } = place()
    const inner = join(directory, 'inner')
    mkdirSync(inner)
    const socket = join(inner, 'http.sock')
    for (const [at, mode] of [
      [inner, 0o777],
      [inner, 0o1777],
      [inner, 0o775],
      [directory, 0o777],
    ] as const) {
      const before = lstatSync(at).mode & 0o7777
      chmodSync(at, mode)
      await refused(socket, /other users can write/)
      chmodSync(at, before)
    }
    // The path may be a link, because the receiver checks the real directory.
    chmodSync(inner, 0o777)
    symlinkSync(inner, join(directory, 'link'))
    await refused(join(directory, 'link', 'http.sock'), /other users can write/)
    assert.deepEqual(readdirSync(inner), [])
  })

  test('(1): is refused in a directory of another user', {
    skip: !isRoot && 'it needs root, for another user',
  }, async () => {
    const { directory, path } = place()
    chownSync(directory, 65_533, 65_533)
    await refused(path, /other users can write/)
  })

  test('must be an absolute path short enough for the system; a missing directory is reported', async () => {
    for (const path of ['http.sock', '@abstract', '/run/', `/${'x'.repeat(90)}`])
      assert.throws(
        () => readConfig({ SOCKET: path }),
        (error) => error instanceof ConfigError && /SOCKET must be/.test(error.message),
        path,
      )
    await assert.rejects(here(join(scratchDir(), 'missing', 'http.sock')), { code: 'ENOENT' })
  })

  test('is in the command that a newcomer is shown', async () => {
    const { path } = place()
    const receiver = start({ SOCKET: path, NODE_TOKEN: '' })
    await receiver.listening()
    while (!receiver.output().includes('Then look at'))
      await once(receiver.child.stderr as net.Socket, 'data')
    const command = /^ {2}(curl .*)$/m.exec(receiver.output())?.[1] as string
    assert.match(spawnSync('sh', ['-c', command], { encoding: 'utf8' }).stdout, /^HTTP\/1\.1 201 /)
    await stopped(receiver)
  })
})

const connecting = `require('net').connect(process.env.SOCKET)
  .on('connect', () => { process.stdout.write('connected'); process.exit() })
  .on('error', ({ code }) => process.stdout.write(code))`

test('the scripts of deploy/ ask the first of the addresses that takes a connection: a unix socket or a port', async () => {
  const { directory, path } = place()
  const receiver = start({ SOCKET: path, PORT: '0' })
  await receiver.listening(2)
  const port = /"port":(\d+)/.exec(receiver.output())?.[1]
  const service = join(directory, 'service')
  const asking = async (...addresses: string[]): Promise<string> => {
    writeFileSync(service, `#!/bin/sh\nprintf '%s\\n' ${addresses.join(' ')}\n`, { mode: 0o755 })
    const program =
      'set -euo pipefail; . deploy/common.sh; http POST /receive "X-Node-Token: wrong" || echo none'
    const child = spawn('bash', ['-c', program], { env: { PATH: process.env.PATH, CIVIC_SERVICE: service } })
    let said = ''
    child.stdout.on('data', (chunk) => (said += chunk))
    await once(child, 'close')
    return said.split('\r\n', 1)[0] as string
  }
  const absent = join(directory, 'absent.sock')
  for (const addresses of [[path], [`127.0.0.1:${port}`], [absent, path], [absent, `127.0.0.1:${port}`]])
    assert.equal(await asking(...addresses), 'HTTP/1.1 401 Unauthorized', addresses.join(' '))
  assert.equal(await asking(absent), 'none\n')
  await stopped(receiver)
})

test('takes every socket that systemd hands over, unix and TCP, and no other', async () => {
  const { path } = place()
  const unix = boundSocket(path)
  const tcp = boundPort()
  // The receiver could not bind port 1, and must not try.
  const receiver = start({ PORT: '1' }, [unix.fd, tcp.fd])
  await receiver.listening(2)
  assert.equal(await post({ socketPath: path }), 201)
  assert.equal(await post({ port: tcp.port }), 200)
  assert.equal(await over({ socketPath: path }, 'GET', '/ready'), 200)
  await stopped(receiver)
  assert.ok(existsSync(path), 'the socket is of whoever handed it over')
  unix.close()
  tcp.close()
})
