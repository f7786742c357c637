/** Makes a host without systemd for the scripts of deploy/: its directories, a socket that stays open over restarts, and releases. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { sign } from '../../src/backup/signature.ts'
import { markDirectory } from '../../src/storage/files/mark.ts'
import { isRoot } from '../needs.ts'
import { packed } from '../packed.ts'
import { scn01, scratchDir } from '../receiver.ts'

/** The user of the service when the tests run as root: a number that no installed user has. */
export const serviceUser = 64_123

export type Ran = { readonly code: number | string; readonly output: string }

export type Host = {
  readonly root: string
  /** The directory that takes the place of /etc/civic-orchestrator. */
  readonly etc: string
  readonly url: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly token: () => string
  /** Runs a script of deploy/. With `killAfterMs` it and its children are killed with SIGKILL. */
  run(
    script: string,
    args?: readonly string[],
    options?: { killAfterMs?: number; env?: Record<string, string> },
  ): Promise<Ran>
  /** Posts a new record with this token, and gives the status. */
  post(token: string): Promise<number>
  /** The version in service. */
  current(): string
  restart(): Promise<void>
  close(): Promise<void>
}

export async function makeHost(signers: string): Promise<Host> {
  const root = scratchDir()
  const etc = join(root, 'etc')
  // The user of the service must be able to enter this directory.
  chmodSync(root, 0o755)
  for (const name of ['releases', 'data', 'etc']) mkdirSync(join(root, name))
  // deploy/install has the receiver do this, with --mark-data-dir.
  await markDirectory(join(root, 'data'))
  if (isRoot) {
    execFileSync('chown', ['-R', `${serviceUser}:${serviceUser}`, join(root, 'data')])
    chmodSync(join(root, 'data'), 0o2750)
  }
  copyFileSync(signers, join(etc, 'allowed_signers'))
  writeFileSync(join(etc, 'env_file'), `# a comment stays\nNODE_TOKEN=${'first-token-'.padEnd(40, 'x')}\n`)

  const listening = createServer().listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const { port } = listening.address() as { port: number }
  writeFileSync(join(root, '.address'), `127.0.0.1:${port}\n`)
  const { fd } = (listening as unknown as { _handle: { fd: number } })._handle
  const env = {
    PATH: process.env.PATH,
    CIVIC_ROOT: root,
    CIVIC_ETC: etc,
    CIVIC_SERVICE: resolve('test/deploy/service'),
    CIVIC_USER: String(serviceUser),
    // This limit is long, because the machine may be busy.
    CIVIC_READY_SECONDS: '60',
  }
  const supervisor = spawn(resolve('test/deploy/supervisor'), {
    env,
    stdio: ['pipe', 'ignore', 'inherit', fd],
  })
  // The supervisor has its own copy of the socket. This process must not accept on it.
  listening.close()
  // If a test fails before it closes the host, the process can end nevertheless, and the supervisor ends with it.
  supervisor.unref()
  const input = supervisor.stdin as unknown as { unref(): void }
  input.unref()

  const run: Host['run'] = async (script, args = [], { killAfterMs, env: more = {} } = {}) => {
    const child = spawn(resolve('deploy', script), args, {
      env: { ...env, ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    const killing =
      killAfterMs === undefined
        ? undefined
        : setTimeout(() => process.kill(-(child.pid as number), 'SIGKILL'), killAfterMs)
    const [code, signal] = await once(child, 'close')
    clearTimeout(killing)
    return { code: code ?? signal, output }
  }
  const url = `http://127.0.0.1:${port}`
  return {
    root,
    etc,
    url,
    env,
    token: () => /^NODE_TOKEN=(.*)$/m.exec(readFileSync(join(etc, 'env_file'), 'utf8'))?.[1] as string,
    run,
    async post(token) {
      const body = JSON.stringify(scn01({ narrative: crypto.randomUUID() }))
      const headers = { 'x-node-token': token }
      return (await fetch(`${url}/receive`, { method: 'POST', headers, body })).status
    },
    current: () => readFileSync(join(root, 'current/VERSION'), 'utf8').split(' ')[0] as string,
    async restart() {
      const child = spawn(env.CIVIC_SERVICE, ['restart'], { env, stdio: 'inherit' })
      assert.equal((await once(child, 'exit'))[0], 0)
    },
    async close() {
      supervisor.ref()
      supervisor.kill('SIGTERM')
      await once(supervisor, 'exit')
      rmSync(root, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

/** A host on which release 0.0.1, made from the checked-out commit, is in service. */
export type HostInService = Host & { readonly publisher: Publisher }

export async function makeHostInService(): Promise<HostInService> {
  const publisher = makePublisher()
  const host = await makeHost(publisher.signers)
  const { code, output } = await host.run('pull', [await publisher.release('0.0.1')])
  assert.equal(code, 0, output)
  const close = async (): Promise<void> => {
    await host.close()
    rmSync(publisher.directory, { recursive: true })
  }
  return { ...host, publisher, close }
}

export type Publisher = {
  /** Makes a signed archive and gives its path. `alter` may change the unpacked release before its sums are computed again. */
  release(version: string, alter?: (directory: string) => void): Promise<string>
  /**
   * Makes a small release: the files of the working tree that a service needs, and a program of a few lines. It starts quickly, so that a test
   * can make hundreds of pulls. `program` replaces that program; it runs on descriptor 3.
   */
  small(version: string, program?: string): string
  readonly directory: string
  readonly key: string
  readonly signers: string
}

/** Makes a publisher of releases: a key, and archives made from the checked-out commit. Altered archives have the same names. */
export function makePublisher(): Publisher {
  const directory = scratchDir()
  const key = makeKey(directory, 'key')
  const signers = join(directory, 'allowed_signers')
  writeFileSync(signers, `release namespaces="civic-orchestrator-release" ${readFileSync(`${key}.pub`)}`)
  return {
    directory,
    key,
    signers,
    async release(version, alter) {
      const name = `civic-orchestrator-${version}.tar.gz`
      const path = join(alter ? mkdtempSync(join(directory, 'altered-')) : directory, name)
      copyFileSync(await packed(version), path)
      if (alter) repack(path, alter)
      sign(path, key, 'civic-orchestrator-release')
      return path
    },
    small(version, program = smallServer) {
      const path = join(directory, `civic-orchestrator-${version}.tar.gz`)
      const root = join(scratchDir(), `civic-orchestrator-${version}`)
      mkdirSync(root)
      mkdirSync(join(root, 'deploy'))
      mkdirSync(join(root, 'deploy/systemd'))
      // These are all the files that a service and systemd need.
      for (const name of ['common.sh', 'tokens', 'pull', 'systemd/civic-orchestrator-settle.path'])
        copyFileSync(join('deploy', name), join(root, 'deploy', name))
      writeFileSync(join(root, 'VERSION'), `${version} ${'0'.repeat(40)}\n`)
      writeFileSync(join(root, 'self-test.cjs'), "console.log('self-test: nothing to try')\n")
      writeFileSync(join(root, 'server.cjs'), program)
      archive(path, root)
      sign(path, key, 'civic-orchestrator-release')
      return path
    },
  }
}

/** A server that is ready at once, accepts every post, and answers requests in flight at SIGTERM. */
const smallServer = `const { createServer } = require('node:http')
const server = createServer((request, response) => {
  response.writeHead(request.method === 'POST' ? 201 : 200, { connection: 'close' }).end('{}')
})
server.listen({ fd: 3 })
process.on('SIGTERM', () => server.close(() => process.exit(0)))
process.on('SIGHUP', () => {})
`

export function makeKey(directory: string, name: string): string {
  const key = join(directory, name)
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  return key
}

/** Alters an archive. With `resum`, SHA256SUMS is computed again to fit. */
export function repack(path: string, alter: (directory: string) => void, resum = true): void {
  const work = scratchDir()
  execFileSync('tar', ['-xzf', path, '-C', work])
  const [name] = execFileSync('ls', [work]).toString().split('\n') as [string]
  alter(join(work, name))
  archive(path, join(work, name), resum)
  if (existsSync(`${path}.sig`)) rmSync(`${path}.sig`)
}

function archive(path: string, directory: string, resum = true): void {
  const sums =
    'find . -type f ! -name SHA256SUMS -printf "%P\\n" | sort | xargs -d "\\n" sha256sum > SHA256SUMS'
  if (resum) execFileSync('sh', ['-c', sums], { cwd: directory })
  execFileSync('tar', ['-czf', path, '-C', dirname(directory), basename(directory)])
  rmSync(dirname(directory), { recursive: true })
}
