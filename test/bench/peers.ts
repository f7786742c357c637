/** The databases of the peers of the receiver. Neither is a dependency of the project; if one is missing, the run says so. */
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
  /** The folder in which better-sqlite3 is installed. */
  readonly sqliteFolder: string
  /** Gives a running PostgreSQL with an empty database. There is one of each kind for the whole run, and it runs until `stop`. */
  startPostgres(kind: PostgresKind): Promise<StartedPeer>
}

/**
 * A PostgreSQL has a synchronous standby on the same disk or none. It has the tables of the receiver, except that `peer` makes its own.
 */
export type PostgresKind = {
  readonly of: 'receiver' | 'peer with checks' | 'peer'
  readonly standby: boolean
}
type StartedPeer = { readonly url: string; stop(): Promise<void> }

export type Missing = { readonly server: 'SQLite' | 'PostgreSQL'; readonly why: string }

const folder = fileURLToPath(new URL('./peer/', import.meta.url))
/** Settings in addition to those of the tests: the usual share of memory of a small machine. */
export const benchSettings = 'shared_buffers = 128MB\nmax_wal_size = 4GB'

/** Finds the databases of the peers. With `all`, a missing one that can be installed is installed, and `say` is told. */
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

async function startPostgres(scratch: string, { of, standby }: PostgresKind): Promise<StartedPeer> {
  const name = JSON.stringify([of, standby])
  const server = servers.get(name) ?? (await stoppedServer(scratch))
  servers.set(name, server)
  // The standby for which the server was last told to wait is gone.
  server.set(`synchronous_standby_names = ''`)
  await server.start()
  await server.sql('DROP TABLE IF EXISTS appended, latest')
  await server.sql('DROP SCHEMA IF EXISTS civic CASCADE')
  const hasTables = of !== 'peer'
  if (hasTables) await makeTables(server)
  const attached = standby ? await attachStandby(server, { below: scratch }) : undefined
  return {
    url: hasTables ? server.url() : server.url('postgres'),
    async stop() {
      await server.stop()
      await attached?.discard()
    },
  }
}

async function stoppedServer(scratch: string): Promise<PostgresServer> {
  const server = await newServer('UTF8', scratch)
  await server.stop()
  server.set(benchSettings)
  return server
}

/** Why better-sqlite3 cannot be used; undefined when it can. With `mayInstall` it is installed once, in a folder of its own. */
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
