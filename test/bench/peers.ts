/** The databases that peers of the receiver keep their rows in. Neither is a dependency of the project: without one, the run says so. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  attachStandby,
  newServer,
  type Server as PostgresServer,
  withoutServer,
} from '../postgres/cluster.ts'
import { makeTables } from '../postgres/prepared.ts'

export type Peers = {
  /** Where better-sqlite3 is installed. */
  readonly sqliteFolder: string
  /** A running PostgreSQL with an empty database, one of each kind for the whole run; up until `stop`. */
  startPostgres(kind: PostgresKind): Promise<Started>
}

/** For the receiver or for the peer, which makes its own tables; with a synchronous standby on the same disk or without one. */
export type PostgresKind = { readonly isReceivers: boolean; readonly standby: boolean }
type Started = { readonly url: string; stop(): Promise<void> }

export type Missing = { readonly server: 'SQLite' | 'PostgreSQL'; readonly why: string }

const folder = fileURLToPath(new URL('./peer/', import.meta.url))
/** Beyond what the tests of the PostgreSQL store give to a server: a small machine's usual share of memory. */
const settings = 'shared_buffers = 128MB\nmax_wal_size = 4GB'

/** Of `all`, what is missing and can be installed is; `say` is told what. */
export async function findPeers(
  scratch: string,
  which: 'all' | 'installed' | 'none',
  say: (text: string) => void,
): Promise<{ peers: Peers; missing: readonly Missing[] }> {
  const why = 'left out by --no-peer'
  const sqlite = which === 'none' ? why : await sqliteMissing(which === 'all', say)
  const postgres = which === 'none' ? why : withoutServer || undefined
  const missing: Missing[] = [
    ...(sqlite === undefined ? [] : [{ server: 'SQLite', why: sqlite } as const]),
    ...(postgres === undefined ? [] : [{ server: 'PostgreSQL', why: postgres } as const]),
  ]
  return { peers: { sqliteFolder: folder, startPostgres: (kind) => startPostgres(scratch, kind) }, missing }
}

const servers = new Map<string, PostgresServer>()

async function startPostgres(scratch: string, { isReceivers, standby }: PostgresKind): Promise<Started> {
  const name = JSON.stringify([isReceivers, standby])
  const server = servers.get(name) ?? (await stoppedServer(scratch))
  servers.set(name, server)
  // what the last run has told it to wait for is gone
  server.set(`synchronous_standby_names = ''`)
  await server.start()
  await server.sql('DROP TABLE IF EXISTS appended, latest')
  await server.sql('DROP SCHEMA IF EXISTS civic CASCADE')
  if (isReceivers) await makeTables(server)
  const attached = standby ? await attachStandby(server, { below: scratch }) : undefined
  return {
    url: isReceivers ? server.url() : server.url('postgres'),
    async stop() {
      await server.stop()
      await attached?.discard()
    },
  }
}

async function stoppedServer(scratch: string): Promise<PostgresServer> {
  const server = await newServer('UTF8', scratch)
  await server.stop()
  server.set(settings)
  return server
}

/** Whether better-sqlite3 is there and runs; if not, it may be installed, once, in its own folder. Undefined when all is well. */
async function sqliteMissing(mayInstall: boolean, say: (text: string) => void): Promise<string | undefined> {
  const run = promisify(execFile)
  const works = (): Promise<boolean> =>
    run(process.execPath, ['-e', "new (require('better-sqlite3'))(':memory:')"], { cwd: folder }).then(
      () => true,
      () => false,
    )
  if (await works()) return undefined
  if (!mayInstall) return 'better-sqlite3 is not installed in test/bench/peer (npm run bench does)'
  if (!existsSync(join(folder, 'package-lock.json'))) return 'its package-lock.json is missing'
  say(
    'installing the SQLite peer (better-sqlite3), once; where it has to be compiled that takes a minute or two',
  )
  try {
    await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: folder, maxBuffer: 64 * 1024 * 1024 })
  } catch {
    return 'npm ci in test/bench/peer failed; run it by hand to see why'
  }
  return (await works()) ? undefined : 'it was installed and does not run on this Node'
}
