/** What both storage rules share: the connections, and the checks after a commit. */
import type { Log } from '../../log.ts'
import type { StorageObserver } from '../observer.ts'
import type { Connection } from './connection.ts'
import type { Connections } from './connections.ts'
import { NotKnown } from './fault.ts'
import { namesStandby } from './statements.ts'
import type { Timeline } from './timeline.ts'

export type Shared = {
  readonly connections: Connections
  readonly timeline: Timeline
  readonly requireStandby: boolean
  readonly log: Log
  readonly observer: StorageObserver | undefined
}

/** Called after a commit has come back, and before its receipts are given. */
export async function confirm({ requireStandby, timeline }: Shared, connection: Connection): Promise<void> {
  if (requireStandby && !(await namesStandby(connection))) throw new NotKnown()
  await timeline.stored(connection.facts)
}
