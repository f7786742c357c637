/**
 * The standby is gone, and commits wait for it. Somebody ends their wait in one of the three ways that look like success to a client, and every
 * sender tries again. Then the primary is lost for good, and the standby, which has none of these records, is promoted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Server } from '../../postgres/cluster.ts'
import { marksOn } from '../audit-disk.ts'
import { isStored, type Sent, told } from '../load.ts'
import { inParallel } from '../part.ts'
import { readDatabase } from './read.ts'
import type { DatabaseScene, Play } from './scene.ts'
import { countWaiting, Site } from './site.ts'

const enough = 100

type Way = { readonly name: string; readonly end: (primary: Server) => Promise<void> }

const ways: readonly Way[] = [
  {
    name: 'pg_cancel_backend',
    end: async (primary) => {
      await primary.sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
    },
  },
  {
    name: 'restart of the primary',
    end: async (primary) => {
      await primary.stop()
      await primary.start()
    },
  },
  {
    name: 'names emptied',
    end: async (primary) => {
      await primary.sql(`ALTER SYSTEM SET synchronous_standby_names = ''`)
      await primary.sql('SELECT pg_reload_conf()')
    },
  },
]

async function endWaits(way: Way, play: Play): Promise<void> {
  const site = await Site.open({ ...play, requireStandby: true })
  try {
    const load = site.load()
    await site.storesAgain(enough, 'before the standby is gone')
    await site.standby.kill()
    const { primary } = site
    await site.eventually('no commit waits for the standby', async () => (await countWaiting(primary)) > 0)
    await sleep(site.dice.below(1_000))
    await way.end(primary)
    await load.stop()
    while ((await countWaiting(primary)) > 0) await way.end(primary)
    await retryAll(site)
    await primary.kill()
    await site.standby.start()
    await site.promote()
    await site.attachNew()
    await site.judge()
  } finally {
    await site.close()
  }
}

/** Sends again, first the records that only the primary has. On the primary they are all duplicates, and nothing is written. */
async function retryAll({ ledger, primary, tally, url }: Site): Promise<void> {
  const left = ledger.sent.filter(
    ({ addon, attempts }) => addon === 'scn01' && !attempts.some(({ answer }) => isStored(answer)),
  )
  const visible = marksOn(await readDatabase(primary))
  const isThere = ({ mark }: Sent): boolean => visible.has(mark)
  for (const some of [left.filter(isThere), left.filter((sent) => !isThere(sent))]) {
    await inParallel(some, some.length, async (one) => {
      const answer = await ledger.post(url, one)
      if (isStored(answer)) tally.wrongly(`${told(answer)} while no standby had it`)
    })
  }
  tally.note('tried again in vain', left.length)
  tally.note('of these, stored on one disk', left.filter(isThere).length)
}

export const endedWaits: readonly DatabaseScene[] = ways.map((way) => ({
  fault: `waits for the standby ended: ${way.name}`,
  full: 5,
  play: (play) => endWaits(way, play),
}))
