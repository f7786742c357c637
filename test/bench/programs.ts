/** The programs of a run. They are bundled once into the scratch directory, started anew for each point, and killed at its end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { markDirectory } from '../../src/storage/files/mark.ts'
import { freePort } from '../bound.ts'
import { exchange, openConnection } from './connection.ts'
import type { LoadJob, LoadMessage, LoadOrder, LoopJob, Measured, Slice } from './job.ts'
import type { Peers, PostgresKind } from './peers.ts'
import { benchToken, requestFor } from './request.ts'

const project = fileURLToPath(new URL('../../', import.meta.url))
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const sources = {
  receiver: join(project, 'src/main.ts'),
  answer: here('./floors/answer.ts'),
  unchecked: here('./floors/unchecked.ts'),
  loops: here('./floors/loops.ts'),
  sqlite: here('./floors/sqlite.ts'),
  sqliteChecked: here('./floors/sqlite-checked.ts'),
  postgresChecked: here('./floors/postgres-checked.ts'),
  postgresTransactions: here('./floors/postgres-transactions.ts'),
  obvious: here('./floors/obvious.ts'),
  load: here('./load.ts'),
}

/**
 * The servers to measure. `source` and `bundled` are the receiver. `answer`, `unchecked` and `sqlite` are floors that check nothing.
 * `sqliteChecked` and `postgresChecked` do the same work as the receiver in one process; `postgresTransactions` does it in as many
 * processes as one likes, on the tables and triggers of the receiver. `obvious` is the program that one would write at first. `database` is the receiver on PostgreSQL. The commits of a server
 * whose name ends in `Standby` wait for a synchronous standby.
 */
export type Server =
  | 'source'
  | 'bundled'
  | 'answer'
  | 'unchecked'
  | 'sqlite'
  | 'sqliteChecked'
  | 'postgresChecked'
  | 'postgresStandby'
  | 'postgresTransactions'
  | 'transactionsStandby'
  | 'obvious'
  | 'database'
  | 'databaseStandby'

export type Programs = {
  /** `url` is a database that the caller keeps up, in place of one that is up as long as the program. */
  start(server: Server, dataDir: string, url?: string): Promise<Running>
  load(job: LoadJob): Load
  loop(job: LoopJob): Promise<Measured>
}

export type Running = {
  readonly pid: number
  readonly port: number
  /** The time of its start, on the clock of `performance.now()`. */
  readonly startedAt: number
  /** Peak resident memory so far (VmHWM), in MB of 1,000,000 bytes. */
  peakRssMb(): number
  kill(): Promise<void>
  /** Ends it in an orderly way, as the service manager does. */
  stop(): Promise<void>
}

export type Load = {
  readonly measured: Promise<Measured>
  /** For a job in slices: resolves when the server has warmed up. */
  readonly ready: Promise<unknown>
  slice(): Promise<Slice>
  /** Lets requests go on until the server is gone. */
  goOn(): void
  /** Resolves when the server is gone and the list of acknowledged requests is complete. */
  readonly done: Promise<void>
}

/** Bundles as `npm run pack` does: as CommonJS, because write-file-atomic does not work in a bundle of ES modules. */
export async function bundlePrograms(into: string, peers: Peers): Promise<Programs> {
  await build({
    entryPoints: sources,
    outdir: into,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: 'warning',
  })
  const bundled = (name: keyof typeof sources): string[] => [join(into, `${name}.cjs`)]
  const asInstalled = [
    ...optionsIn('systemd/civic-orchestrator.service', '\\S+server.cjs'),
    ...bundled('receiver'),
  ]
  const commands: Readonly<Record<Server, readonly string[]>> = {
    source: [...optionsIn('from-git.conf', 'src/main.ts'), sources.receiver],
    bundled: asInstalled,
    answer: bundled('answer'),
    unchecked: bundled('unchecked'),
    sqlite: bundled('sqlite'),
    sqliteChecked: bundled('sqliteChecked'),
    postgresChecked: bundled('postgresChecked'),
    postgresStandby: bundled('postgresChecked'),
    postgresTransactions: bundled('postgresTransactions'),
    transactionsStandby: bundled('postgresTransactions'),
    obvious: bundled('obvious'),
    database: asInstalled,
    databaseStandby: asInstalled,
  }
  return {
    async start(server, dataDir, url) {
      const env = { DATA_DIR: dataDir, PEER: peers.sqliteFolder }
      const kind = databases.get(server)
      if (!kind) return startServer(commands[server], env)
      const startOn = (url: string) =>
        startServer(commands[server], { ...env, DATABASE_URL: url, PEER_URL: url })
      return url === undefined ? withPostgres(peers, kind, startOn) : startOn(url)
    },
    load: (job) => startLoad([...bundled('load'), JSON.stringify(job)]),
    async loop(job) {
      const child = track(
        spawn(process.execPath, [...bundled('loops'), JSON.stringify(job)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        }),
      )
      let output = ''
      child.stdout?.on('data', (chunk: Buffer) => {
        output += chunk
      })
      const [code] = (await once(child, 'close')) as [number | null]
      if (code !== 0) throw new Error(`a loop of system calls ended with ${code}`)
      return JSON.parse(output) as Measured
    },
  }
}

const databases: ReadonlyMap<Server, PostgresKind> = new Map([
  ['postgresChecked', { of: 'peer', standby: false }],
  ['postgresStandby', { of: 'peer', standby: true }],
  ['postgresTransactions', { of: 'peer with checks', standby: false }],
  ['transactionsStandby', { of: 'peer with checks', standby: true }],
  ['database', { of: 'receiver', standby: false }],
  ['databaseStandby', { of: 'receiver', standby: true }],
])

/** Starts a program on a PostgreSQL, which runs as long as the program. */
async function withPostgres(
  peers: Peers,
  kind: PostgresKind,
  start: (url: string) => Promise<Running>,
): Promise<Running> {
  const { url, stop } = await peers.startPostgres(kind)
  try {
    const running = await start(url)
    const end = (how: () => Promise<void>) => async (): Promise<void> => {
      await how()
      await stop()
    }
    return { ...running, kill: end(running.kill), stop: end(running.stop) }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The options that a unit gives to Node for the program. */
function optionsIn(unit: string, program: string): string[] {
  const text = readFileSync(join(project, 'deploy', unit), 'utf8')
  const options = new RegExp(`^ExecStart=/usr/bin/node (.*) ${program}$`, 'm').exec(text)?.[1]
  if (options === undefined) throw new Error(`${unit} does not start the receiver as the bench expects`)
  return options.split(' ')
}

const alive = new Set<ChildProcess>()

function track(child: ChildProcess): ChildProcess {
  alive.add(child)
  child.once('exit', () => alive.delete(child))
  return child
}

/** Kills all programs; called at the end of the bench, however it ends. */
export function killAll(): void {
  for (const child of alive) child.kill('SIGKILL')
}

async function startServer(args: readonly string[], env: Record<string, string>): Promise<Running> {
  const port = await freePort()
  const settings = { NODE_ENV: 'production', NODE_TOKEN: benchToken, PORT: String(port), ...env }
  if (env.DATA_DIR !== undefined) await markDirectory(env.DATA_DIR)
  const startedAt = performance.now()
  const child = track(
    spawn(process.execPath, args, {
      cwd: project,
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...settings },
      // Log lines are made and written as in production, but to /dev/null.
      stdio: ['ignore', 'ignore', 'pipe'],
    }),
  )
  let complaint = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk
  })
  const ended = new Promise<never>((_, reject) =>
    child.once('exit', (code, signal) =>
      reject(
        new Error(`a server ended by itself (${code ?? signal}): ${complaint.trim() || 'it said nothing'}`),
      ),
    ),
  )
  await Promise.race([accepts(port), ended])
  ended.catch(() => {})
  const pid = child.pid as number
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
  }
  return {
    pid,
    port,
    startedAt,
    peakRssMb: () =>
      (Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024) / 1e6,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  }
}

/** Resolves when a server listens on the port. */
async function accepts(port: number): Promise<void> {
  for (;;) {
    const answered = await new Promise<boolean>((resolve) => {
      openConnection(port, {
        ready(connection) {
          connection.end()
          resolve(true)
        },
        reply: () => {},
        gone: () => resolve(false),
      })
    })
    if (answered) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** The milliseconds from the start of the process to the receipt of its first record, which must be a new one. */
export async function firstRecordMs({ port, startedAt }: Running, number: number): Promise<number> {
  const request = requestFor('append', false)
  request.set(number, 0, 0)
  for (;;) {
    const { status } = await exchange(port, request.bytes)
    if (status === 201) return performance.now() - startedAt
    if (performance.now() - startedAt > 60_000)
      throw new Error(`no first record within a minute: status ${status}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

function startLoad(args: readonly string[]): Load {
  const child = track(spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))
  const done = once(child, 'exit').then(([code, signal]) => {
    if (code !== 0) throw new Error(`the load generator ended with ${code ?? signal}`)
  })
  const said = <T>(value: (message: LoadMessage) => T | undefined): Promise<T> => {
    const heard = new Promise<T>((resolve, reject) => {
      const listen = (message: LoadMessage): void => {
        const found = value(message)
        if (message.type === 'failed') reject(new Error(message.reason))
        else if (found !== undefined) resolve(found)
        else return
        child.off('message', listen)
      }
      child.on('message', listen)
      done.then(() => reject(new Error('the load generator said nothing')), reject)
    })
    heard.catch(() => {})
    return heard
  }
  const order = (what: LoadOrder): void => void child.send(what)
  done.catch(() => {})
  return {
    done,
    measured: said((message) => (message.type === 'measured' ? message.measured : undefined)),
    ready: said((message) => (message.type === 'resting' ? true : undefined)),
    async slice() {
      const slice = said((message) => (message.type === 'resting' ? message.slice : undefined))
      order('slice')
      return slice
    },
    goOn: () => order('go on'),
  }
}
