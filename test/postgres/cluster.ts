/**
 * Starts real PostgreSQL servers for tests: a primary and, if wanted, a synchronous standby, in temporary directories, on
 * loopback ports. The servers refuse to run as root, so they run as the user postgres.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { freePort } from '../bound.ts'
import { endTogether } from '../guard.ts'
import { kept } from '../kept.ts'

const debian = '/usr/lib/postgresql'

function binaries(): string | undefined {
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const directories = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(':'),
  ]
  return directories.find((directory) =>
    ['initdb', 'postgres', 'pg_basebackup'].every((name) => existsSync(join(directory, name))),
  )
}

type Account = { readonly uid: number; readonly gid: number }

function account(): Account | undefined {
  if (process.getuid?.() !== 0) return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const found = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith('postgres:'))
  const [, , uid, gid] = found?.split(':') ?? []
  return uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined
}

const bin = binaries()
const user = account()

/** The reason why no server can run here, or false, for the option `skip` of `node:test`. */
export const withoutServer: string | false =
  bin === undefined
    ? 'needs the server programs of PostgreSQL (Debian: apt-get install postgresql)'
    : user === undefined
      ? 'needs the user postgres, because PostgreSQL refuses to run as root'
      : false

const root = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8', TZ: 'UTC' }

async function run(program: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(join(bin as string, program), args, {
    ...(user as Account),
    cwd: '/',
    env: root,
  })
}

const scratch: string[] = []
process.once('exit', () => {
  for (const directory of scratch) rmSync(directory, { recursive: true, force: true })
})

/** Kills the postmaster and its children at once, as a loss of power would. */
function killAll(pid: number): void {
  for (const each of [pid, ...childrenOf(pid)]) signal(each, 'SIGKILL')
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {}
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

function newDirectory(below = tmpdir()): string {
  const directory = mkdtempSync(join(below, 'civic-pg-'))
  chownSync(directory, (user as Account).uid, (user as Account).gid)
  scratch.push(directory)
  return directory
}

const settings = `
listen_addresses = '127.0.0.1'
shared_buffers = 16MB
max_connections = 60
wal_level = replica
max_wal_senders = 4
wal_log_hints = on
wal_keep_size = 64MB
hot_standby = on
log_min_messages = warning
wal_receiver_timeout = 2s
wal_sender_timeout = 3s
wal_retrieve_retry_interval = 100ms
`

export class Server {
  readonly directory: string
  readonly port: number
  #child: ChildProcess | undefined
  #log = ''

  constructor(directory: string, port: number) {
    this.directory = directory
    this.port = port
  }

  get data(): string {
    return join(this.directory, 'data')
  }

  /** The log of the server since its first start. */
  get log(): string {
    return this.#log
  }

  get pid(): number {
    return this.#child?.pid as number
  }

  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null
  }

  set(lines: string): void {
    appendFileSync(join(this.data, 'postgresql.auto.conf'), `${lines}\n`)
  }

  url(who = 'civic_receiver', database = 'civic'): string {
    return `postgres://${who}@127.0.0.1:${this.port}/${database}`
  }

  async start(): Promise<void> {
    const child = spawn(
      join(bin as string, 'postgres'),
      ['-D', this.data, '-p', String(this.port), '-k', this.directory],
      {
        ...(user as Account),
        cwd: '/',
        env: root,
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    this.#child = child
    endTogether(child, () => killAll(child.pid as number))
    child.stderr?.on('data', (chunk) => {
      this.#log += chunk
    })
    await this.#ready()
  }

  async #ready(): Promise<void> {
    for (;;) {
      if (this.#child?.exitCode !== null) throw new Error(`the server ended: ${this.#log}`)
      // Another server may have taken the port. Then this one ends.
      const directory = await this.sql('SHOW data_directory', [], 'postgres').catch(() => [])
      if (directory[0]?.data_directory === this.data) return
      await sleep(30)
    }
  }

  /** Stops the server. SIGINT asks for a fast shutdown: connections are ended, and commits that wait for a standby are given up. */
  async stop(): Promise<void> {
    await this.#end((pid) => signal(pid, 'SIGINT'))
  }

  async kill(): Promise<void> {
    await this.#end(killAll)
  }

  /** Kills the server and removes all its files. */
  async discard(): Promise<void> {
    await this.kill()
    await rm(this.directory, { recursive: true, force: true })
  }

  async #end(how: (pid: number) => void): Promise<void> {
    const child = this.#child
    if (!child || !this.isRunning) return
    const ended = once(child, 'exit')
    how(child.pid as number)
    await ended
  }

  /** Stops every process of the server with SIGSTOP; `thaw` lets them continue. */
  freeze(): void {
    for (const pid of [this.pid, ...childrenOf(this.pid)]) signal(pid, 'SIGSTOP')
  }

  thaw(): void {
    for (const pid of [this.pid, ...childrenOf(this.pid)]) signal(pid, 'SIGCONT')
  }

  async asOwner<T>(use: (client: pg.Client) => Promise<T>, database = 'civic'): Promise<T> {
    return as(this, 'postgres', use, database)
  }

  /** Runs one statement as the superuser, outside of any transaction of the caller. */
  async sql(text: string, values: unknown[] = [], database = 'civic'): Promise<Record<string, unknown>[]> {
    return this.asOwner(async (client) => (await client.query(text, values)).rows, database)
  }

  async promote(): Promise<void> {
    await this.sql('SELECT pg_promote(true, 60)', [], 'postgres')
  }
}

export async function as<T>(
  server: Server,
  who: string,
  use: (client: pg.Client) => Promise<T>,
  database = 'civic',
): Promise<T> {
  const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: who, database })
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

let hasCopied = false

/**
 * Makes the files of a server: for the first server of this process a copy of files that are kept. A further server of this process is made
 * anew, because copies have the same system identifier, and a receiver takes servers with the same one for the same server.
 */
async function makeFiles(data: string, encoding: string): Promise<void> {
  const copy = (from: string, to: string) => promisify(execFile)('cp', ['-a', from, to])
  const make = (path: string): Promise<void> =>
    run('initdb', ['-D', path, '-U', 'postgres', '-A', 'trust', '-E', encoding, '--locale=C', '-N'])
  if (hasCopied) return make(data)
  hasCopied = true
  const { mtimeMs } = statSync(join(bin as string, 'initdb'))
  const state = [String(bin), String(mtimeMs), String(user?.uid), encoding]
  const files = await kept('postgres', state, async (path) => {
    // Only this process may write to the directory of what is kept, and initdb runs as another user.
    const made = join(newDirectory(), 'data')
    await make(made)
    await copy(made, path)
  })
  await copy(files, data)
}

/** Starts a server with an empty database `civic`, in a directory below that of temporary files or below another one. */
export async function newServer(encoding = 'UTF8', below?: string): Promise<Server> {
  const server = new Server(newDirectory(below), await freePort())
  await makeFiles(server.data, encoding)
  server.set(settings)
  await server.start()
  await server.sql('CREATE DATABASE civic', [], 'postgres')
  await server.sql('CREATE ROLE civic_receiver LOGIN', [], 'postgres')
  return server
}

type StandbyOptions = {
  readonly port?: number
  readonly below?: string
  /** The name with which the standby calls the primary. */
  readonly name?: string
  /** The standbys for which commits wait, as in `ANY 1 (a, b)`. By default this one alone. */
  readonly names?: string
}

/** Makes a standby of a running server, on a free port or at a given place. From then on the server's commits wait for `names`. */
export async function attachStandby(
  primary: Server,
  { port, below, name = 'standby', names = name }: StandbyOptions = {},
): Promise<Server> {
  const standby = new Server(newDirectory(below), port ?? (await freePort()))
  // On a busy machine the copy may be silent for longer than the timeout of the server's settings.
  const source = `host=127.0.0.1 port=${primary.port} user=postgres options=-cwal_sender_timeout=60s`
  await run('pg_basebackup', ['-d', source, '-D', standby.data, '-R', '-c', 'fast', '-N'])
  standby.set(
    `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=postgres application_name=${name}'`,
  )
  standby.set(`synchronous_standby_names = ''`)
  await standby.start()
  await synchronous(primary, name, names)
  return standby
}

/** Makes the server's commits wait for these standbys, and waits until the server sees the one called `name` as synchronous. */
async function synchronous(primary: Server, name: string, names: string): Promise<void> {
  await primary.sql(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`)
  await primary.sql('SELECT pg_reload_conf()')
  await until(async () => {
    const rows = await primary.sql(
      `SELECT 1 FROM pg_stat_replication WHERE application_name = $1 AND sync_state IN ('sync', 'quorum')`,
      [name],
    )
    return rows.length > 0
  })
}

export async function until(isTrue: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isTrue())) await sleep(20)
}
