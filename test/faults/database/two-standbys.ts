/**
 * A primary with two standbys, which is killed under load while one of the standbys is away. With `ANY 1` a commit waits for either of them, so
 * the other one may lack records that were acknowledged: the standby that has received more must be promoted. With `ANY 2` a commit waits
 * for both, so nothing is acknowledged while one is away, and either may be promoted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Server } from '../../postgres/cluster.ts'
import { marksOn } from '../audit-disk.ts'
import { receiptsOf } from '../load.ts'
import { readDatabase } from './read.ts'
import type { DatabaseScene, Play } from './scene.ts'
import { countWaiting, Site } from './site.ts'

const enough = 100

/**
 * How far a standby has come: as `deploy/OPERATORS.md` asks before a promotion. A standby that was started again gives the beginning of a
 * file as the place up to which it has received, or nothing, so the place up to which it has replayed counts as well.
 */
const place = `SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0') AS bytes`

/** Waits until the standby has replayed all that it has received. */
async function placeOf(site: Site, standby: Server): Promise<number> {
  let [before, now] = [-1, 0]
  await site.eventually('a standby does not come to the end of its log', async () => {
    const [row] = await standby.sql(place)
    ;[before, now] = [now, Number(row?.bytes)]
    return before === now
  })
  return now
}

/** The number of acknowledged records that this server does not have. */
async function missingOn(server: Server, { ledger }: Site): Promise<number> {
  const there = marksOn(await readDatabase(server))
  return ledger.sent.filter(
    (sent) => sent.addon === 'scn01' && receiptsOf(sent).length > 0 && !there.has(sent.mark),
  ).length
}

/** Kills a standby, goes on under load, kills the primary, and starts the standby again. */
async function anyOne(play: Play): Promise<void> {
  const site = await Site.open({ ...play, waitsFor: 1 })
  const standbys = [site.standby, site.second as Server]
  try {
    const away = site.dice.of(standbys)
    const load = site.load()
    await site.storesAgain(enough, 'with two standbys')
    await away.kill()
    await site.storesAgain(enough, 'with one standby')
    await sleep(site.dice.below(500))
    const from = performance.now()
    await site.primary.kill()
    await away.start()
    const missing = new Map<Server, number>()
    const places = new Map<Server, number>()
    for (const standby of standbys) {
      places.set(standby, await placeOf(site, standby))
      missing.set(standby, await missingOn(standby, site))
    }
    const [further, behind] = standbys.sort((a, b) => (places.get(b) ?? 0) - (places.get(a) ?? 0)) as [
      Server,
      Server,
    ]
    play.tally.note('acknowledged records that the other standby lacked', missing.get(behind))
    if (missing.get(behind) === 0)
      play.tally.wrongly('the standby that was away lacks nothing: nothing was shown')
    site.standby = further
    await site.promote()
    await site.storesAgain(enough, 'after the promotion')
    site.silenceSince(from)
    await load.stop()
    await site.judge()
  } finally {
    await site.close()
  }
}

/** Kills the primary, often after a standby, and promotes any of the two. */
async function anyTwo(play: Play): Promise<void> {
  const site = await Site.open({ ...play, waitsFor: 2 })
  const { dice, primary } = site
  const standbys = [site.standby, site.second as Server]
  try {
    const away = dice.of(standbys)
    const isAway = !dice.oneIn(3)
    const load = site.load()
    await site.storesAgain(enough, 'with two standbys')
    if (isAway) {
      await away.kill()
      await site.eventually('no commit waits for the standby', async () => (await countWaiting(primary)) > 0)
    }
    await sleep(dice.below(500))
    await primary.kill()
    if (isAway) await away.start()
    site.standby = dice.of(standbys)
    await site.promote()
    await site.storesAgain(enough, 'after the promotion')
    await load.stop()
    await site.judge()
  } finally {
    await site.close()
  }
}

export const twoStandbys: readonly DatabaseScene[] = [
  { fault: 'two standbys, ANY 1: the further one is promoted', full: 6, play: anyOne },
  { fault: 'two standbys, ANY 2: either one is promoted', full: 6, play: anyTwo },
]
