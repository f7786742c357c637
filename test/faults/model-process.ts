/** The storage of one of several receivers on one data directory, without HTTP. It posts what its parent (`model.ts`) orders. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../../contracts/record.ts'
import { post, type StoredEnvelope, storeOn } from './stored.ts'

/** `pauseMs` is the wait before this post, so that it meets another state of the lock and of the batches. */
export type Posting = { readonly sent: StoredEnvelope; readonly pauseMs?: number }

/** `quiet` releases the locks and keeps the state in memory; `reopen` drops the state as well. */
export type Order =
  | { readonly kind: 'round'; readonly posts: readonly Posting[] }
  | { readonly kind: 'quiet' | 'reopen' }

/** The answer to a round: the outcomes in the order of its posts. */
export type RoundReport = { readonly outcomes: readonly Outcome[] }

const root = process.argv[2] as string
let store = storeOn(root)

async function obey(order: Order): Promise<readonly Outcome[]> {
  if (order.kind !== 'round') {
    await store.close()
    if (order.kind === 'reopen') store = storeOn(root)
    return []
  }
  const outcomes: Promise<Outcome>[] = []
  for (const { sent, pauseMs } of order.posts) {
    if (pauseMs !== undefined) await sleep(pauseMs)
    outcomes.push(post(store, sent))
  }
  return Promise.all(outcomes)
}

process.on('message', async (order: Order) => {
  process.send?.({ outcomes: await obey(order) } satisfies RoundReport)
})
process.on('disconnect', () => process.exit())
