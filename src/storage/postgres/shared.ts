/** What both storage rules have in common: the connections, and what happens after a statement. */
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

/** Called between a commit that came back and the receipts for it. */
export async function confirm({ requireStandby, timeline }: Shared, connection: Connection): Promise<void> {
  if (requireStandby && !(await namesStandby(connection))) throw new NotKnown()
  await timeline.stored(connection.facts)
}
