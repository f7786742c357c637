/** A host without systemd for the scripts of deploy/: its directories, a socket that outlives every restart, releases. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { releaseArchive } from '../../scripts/pack/archive.ts'
import { sign } from '../../src/backup/signature.ts'
import { scratchDir } from '../receiver.ts'

export type Ran = { readonly code: number | string; readonly output: string }

export type Host = {
  readonly root: string
  readonly url: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly token: () => string
  /** Runs a script of deploy/; `killAfterMs` ends it and its children with SIGKILL. */
  run(script: string, args?: readonly string[], options?: { killAfterMs?: number }): Promise<Ran>
  /** The version in service. */
  current(): string
  restart(): Promise<void>
  close(): Promise<void>
}

export async function makeHost(signers: string): Promise<Host> {
  const root = scratchDir()
  const etc = join(root, 'etc')
  for (const name of ['releases', 'data', 'etc']) mkdirSync(join(root, name))
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
    CIVIC_READY_SECONDS: '4',
  }
  const supervisor = spawn(resolve('test/deploy/supervisor'), {
    env,
    stdio: ['ignore', 'inherit', 'inherit', fd],
  })
  // the supervisor has its own copy; this process must not accept from it
  listening.close()

  const run: Host['run'] = async (script, args = [], { killAfterMs } = {}) => {
    const child = spawn(resolve('deploy', script), args, {
      env,
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
  return {
    root,
    url: `http://127.0.0.1:${port}`,
    env,
    token: () => /^NODE_TOKEN=(.*)$/m.exec(readFileSync(join(etc, 'env_file'), 'utf8'))?.[1] as string,
    run,
    current: () => readFileSync(join(root, 'current/VERSION'), 'utf8').split(' ')[0] as string,
    async restart() {
      const child = spawn(env.CIVIC_SERVICE, ['restart'], { env, stdio: 'inherit' })
      assert.equal((await once(child, 'exit'))[0], 0)
    },
    async close() {
      supervisor.kill('SIGTERM')
      await once(supervisor, 'exit')
      rmSync(root, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

export type Publisher = {
  /** The path of a signed archive. `alter` may change the unpacked release before its sums are made anew. */
  release(version: string, alter?: (directory: string) => void): Promise<string>
  readonly directory: string
  readonly key: string
  readonly signers: string
}

/** Whoever makes releases: a key, and archives made from the commit that is checked out. */
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
      const { name, bytes } = await releaseArchive({ commit: 'HEAD', version })
      const path = join(directory, alter ? `altered-${name}` : name)
      writeFileSync(path, bytes)
      if (alter) repack(path, alter)
      sign(path, key, 'civic-orchestrator-release')
      return path
    },
  }
}

export function makeKey(directory: string, name: string): string {
  const key = join(directory, name)
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
  return key
}

/** `resum`: whether SHA256SUMS is made to fit what was altered. */
export function repack(path: string, alter: (directory: string) => void, resum = true): void {
  const work = scratchDir()
  execFileSync('tar', ['-xzf', path, '-C', work])
  const [name] = execFileSync('ls', [work]).toString().split('\n') as [string]
  alter(join(work, name))
  const sums =
    'find . -type f ! -name SHA256SUMS -printf "%P\\n" | sort | xargs -d "\\n" sha256sum > SHA256SUMS'
  if (resum) execFileSync('sh', ['-c', sums], { cwd: join(work, name) })
  execFileSync('tar', ['-czf', path, '-C', work, name])
  rmSync(work, { recursive: true })
  if (existsSync(`${path}.sig`)) rmSync(`${path}.sig`)
}
