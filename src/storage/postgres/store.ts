/**
 * The PostgreSQL store: gives the same outcomes, receipts and bytes as the file store, in a database with a synchronous
 * standby, for several receivers on several machines. `schema.sql` has the rules that the database itself enforces.
 */
import type { StorageRule } from '../../../contracts/contract.ts'
import type { AcceptedRecord, Outcome, RecordStore } from '../../../contracts/record.ts'
import type { Log } from '../../log.ts'
import type { StorageObserver } from '../observer.ts'
import type { Store } from '../store.ts'
import { Appends } from './append.ts'
import type { Connection } from './connection.ts'
import { Connections } from './connections.ts'
import { meaningOf } from './fault.ts'
import { Overwrites } from './overwrite.ts'
import type { Shared } from './shared.ts'
import { attachedStandbys, isImporting, namesStandby } from './statements.ts'
import { Stopped } from './stopped.ts'
import { Timeline } from './timeline.ts'
import type { DatabaseTarget } from './url.ts'

export type PostgresStoreOptions = {
  readonly target: DatabaseTarget
  /** The file in the data directory that remembers the server in which this receiver last stored. */
  readonly timelineFile: string
  /** Nothing is acknowledged unless the primary is set to wait for a standby. */
  readonly requireStandby: boolean
  readonly log: Log
  readonly observer?: StorageObserver | undefined
}

const readinessMs = 3_000

export function openPostgresStore(options: PostgresStoreOptions): Store {
  const { target, requireStandby, log, observer } = options
  const timeline = new Timeline(options.timelineFile)
  const connections = new Connections(target, timeline, log)
  const shared: Shared = { connections, timeline, requireStandby, log, observer }
  const overwrites = new Overwrites(shared)
  const stopped = new Stopped()
  const appends = new Appends(shared)
  const unanswered = new Set<Promise<Outcome>>()

  const overwrite = async (record: AcceptedRecord, deadline: number): Promise<Outcome> =>
    stopped.recently ? { ok: false, fault: 'busy' } : overwrites.put(record, deadline)

  const rules: Readonly<Record<StorageRule, RecordStore['put']>> = {
    'append-only': (record, deadline) => appends.put(record, deadline),
    'overwrite-by-placekey': overwrite,
  }

  return {
    async put(record, deadline) {
      if (connections.trouble !== undefined) return { ok: false, fault: 'busy' }
      const answer = rules[record.storage](record, deadline)
      unanswered.add(answer)
      return answer.finally(() => unanswered.delete(answer))
    },

    async readiness() {
      const { trouble } = connections
      const found: StoreState =
        trouble === undefined ? await state(shared) : { reasons: [trouble], notes: [] }
      const reasons = found.reasons.map((text) => ({ kind: 'database' as const, text }))
      return { ...found, reasons, refused: [...appends.refused].sort() }
    },

    async start() {
      const { reasons, notes } = await state(shared)
      if (reasons.length > 0) log.error({ reasons }, 'the database cannot take records now')
      else log.info({ notes }, 'the database takes records')
    },

    async close() {
      // Every request is answered by its deadline, so nobody waits for a statement that is still under way then.
      while (unanswered.size > 0) await Promise.allSettled(unanswered)
      stopped.close()
      await connections.close()
    },
  }
}

function reasonOf(error: unknown): string {
  const meaning = meaningOf(error)
  return meaning.kind === 'fault' ? meaning.reason : 'the connection to the database was lost'
}

type StoreState = {
  readonly reasons: readonly string[]
  readonly notes: readonly string[]
  readonly standbys?: number
}

async function state({ connections, requireStandby }: Shared): Promise<StoreState> {
  const until = performance.now() + readinessMs
  const late = new Promise<StoreState>((resolve) => {
    setTimeout(() => resolve({ reasons: ['the database does not answer'], notes: [] }), readinessMs).unref()
  })
  const asked = connections
    .with(until, (connection) => stateSeenFrom(connection, requireStandby))
    .catch(
      (error): StoreState => ({
        reasons: [connections.trouble ?? reasonOf(error)],
        notes: [],
      }),
    )
  return Promise.race([asked, late])
}

async function stateSeenFrom(connection: Connection, requireStandby: boolean): Promise<StoreState> {
  const [isNamed, attached] = [await namesStandby(connection), await attachedStandbys(connection)]
  const reasons: string[] = []
  if (await isImporting(connection)) reasons.push('an import is under way or was broken off')
  if (requireStandby && !isNamed)
    reasons.push('synchronous_standby_names is empty, and REQUIRE_STANDBY is set')
  if (requireStandby && isNamed && attached === 0) reasons.push('no synchronous standby is attached')
  await connection.requireClock()
  const notes = [
    isNamed
      ? `synchronous standbys attached: ${attached}`
      : 'commits wait for no standby: records are on one disk',
  ]
  return { reasons, notes, standbys: isNamed ? attached : 0 }
}
