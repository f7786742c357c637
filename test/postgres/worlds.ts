/** One interface to both stores, for tests that must hold for both: several receivers on one set of records. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../src/log.ts'
import { openPostgresStore } from '../../src/storage/postgres/store.ts'
import { readUrl } from '../../src/storage/postgres/url.ts'
import type { Store } from '../../src/storage/store.ts'
import { chainOf, fileOf, recordsPath } from '../disk.ts'
import { scn01, scratchDir } from '../receiver.ts'
import { quiet, stored, storeIn } from '../records.ts'
import { type Server, withoutServer } from './cluster.ts'
import { preparedServer } from './prepared.ts'

export type World = {
  /** Opens the store of one more receiver on the same records. */
  store(log?: Log): Store
  /** The stored lines of an association. Throws when the chain is broken. */
  lines(slug: string): Promise<string[]>
  /** The stored text of one participant. */
  latest(addon: string, slug: string, participant: string): Promise<string | undefined>
  /** Changes a byte of the last record, as somebody with the right to do so would. */
  damage(slug: string): Promise<void>
  /** The environment of a receiver process on these records. */
  readonly env: Record<string, string>
  end(): Promise<void>
}

export type StoreKind = {
  readonly name: string
  readonly skip: string | false
  readonly open: () => Promise<World>
}

export const kinds: readonly StoreKind[] = [
  { name: 'files', skip: false, open: async () => filesWorld() },
  { name: 'postgres', skip: withoutServer, open: async () => postgresWorld(await preparedServer()) },
]

function filesWorld(): World {
  const root = scratchDir()
  return {
    store: (log = quiet) => storeIn(root, log),
    lines: async (slug) => (existsSync(recordsPath(root, slug)) ? chainOf(recordsPath(root, slug)) : []),
    latest: async (addon, slug, participant) => {
      const path = join(root, addon, slug, `${participant}.json`)
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined
    },
    damage: async (slug) => {
      const path = recordsPath(root, slug)
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace(/"narrative":"(?!.*"narrative":")/s, '"narrative":"!'),
      )
    },
    env: { DATA_DIR: root },
    end: async () => {},
  }
}

export function openStoreOn(
  urls: readonly string[],
  log: Log = quiet,
  requireStandby = false,
  directory = scratchDir(),
): Store {
  const [first, ...others] = urls.map((url) => new URL(url))
  const hosts = [first, ...others].map((url) => url?.host).join(',')
  const target = readUrl('DATABASE_URL', `postgres://${first?.username}@${hosts}${first?.pathname}`)
  return openPostgresStore({ target, timelineFile: join(directory, '.postgres.json'), requireStandby, log })
}

/** Stores a record for each narrative, in this order. */
export async function fillServer(
  server: Server,
  narratives: readonly string[],
  association_slug = 'heron-ridge',
): Promise<void> {
  const store = openStoreOn([server.url()])
  for (const narrative of narratives) await stored(store, scn01({ narrative, association_slug }))
  await store.close()
}

export function postgresWorld(server: Server): World {
  return {
    store: (log) => openStoreOn([server.url()], log),
    lines: async (slug) => {
      const rows = await server.sql(`SELECT line FROM civic.record WHERE slug = $1 ORDER BY sequence`, [slug])
      const path = join(scratchDir(), 'records.json')
      if (rows.length === 0) return []
      writeFileSync(path, fileOf(rows.map(({ line }) => String(line))))
      return chainOf(path)
    },
    latest: async (addon, slug, participant) => {
      const [row] = await server.sql(
        `SELECT body FROM civic.latest WHERE addon = $1 AND slug = $2 AND participant_id = $3`,
        [addon, slug, participant],
      )
      return row && String(row.body)
    },
    damage: async (slug) => {
      await server.sql(
        `UPDATE civic.record SET line = convert_to(replace(convert_from(line, 'UTF8'), '"narrative":"', '"narrative":"!'), 'UTF8')
         WHERE slug = $1 AND sequence = (SELECT max(sequence) FROM civic.record WHERE slug = $1)`,
        [slug],
      )
    },
    env: { DATABASE_URL: server.url() },
    end: () => server.stop(),
  }
}
