/**
 * The primary was lost and its standby promoted; then the old one comes back, first in the list of every receiver. Whoever has
 * stored on the new one refuses the old one by its timeline. A receiver that knows nothing and reaches only the old one takes
 * it, and is kept from acknowledging by the names that the old one still has, or by REQUIRE_STANDBY.
 */
import { participantOf } from '../load.ts'
import type { Play, Scene } from './scene.ts'
import { Site } from './site.ts'

const enough = 100

type Return = {
  readonly fault: string
  readonly namesKept: boolean
  readonly requireStandby: boolean
  /** Whether a receiver joins that has never stored anything. */
  readonly newcomer: boolean
}

const returns: readonly Return[] = [
  {
    fault: 'the old primary comes back, names kept',
    namesKept: true,
    requireStandby: false,
    newcomer: true,
  },
  {
    fault: 'the old primary comes back, names emptied',
    namesKept: false,
    requireStandby: false,
    newcomer: false,
  },
  {
    fault: 'the same, a new receiver, REQUIRE_STANDBY=1',
    namesKept: false,
    requireStandby: true,
    newcomer: true,
  },
]

async function comeBack({ namesKept, requireStandby, newcomer }: Return, play: Play) {
  const site = await Site.open({ ...play, requireStandby })
  const old = site.primary
  try {
    const load = site.load()
    await site.storesAgain(enough, 'before the kill')
    await old.kill()
    await site.promote()
    await site.attachBeside()
    for (const { url } of site.receivers) await site.storesAt(url)
    if (!namesKept) old.set(`synchronous_standby_names = ''`)
    await old.start()
    // the timeline that it has stored on stands in its data directory
    const restarted = site.dice.of(site.receivers)
    await site.killReceiver(restarted)
    await site.startReceiver(restarted.dataDir)
    // and the others must connect anew, too
    await site.primary.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'civic_receiver'`,
    )
    await site.storesAgain(enough, 'with the old primary back')
    if (newcomer) await meetOld(site)
    await load.stop()
    await old.kill()
    await site.judge()
  } finally {
    await site.close()
  }
}

/** It would take the promoted one if that answered. What it is told counts like anything else. */
async function meetOld(site: Site): Promise<void> {
  site.primary.freeze()
  const receiver = await site.startReceiver()
  await Promise.all(
    Array.from({ length: 16 }, async (_, n) => {
      const { ledger } = site
      await ledger.post(
        receiver.url,
        n % 4 ? ledger.newScenario('heron-ridge') : ledger.newVitalSigns('heron-ridge', participantOf(n)),
      )
    }),
  )
  site.primary.thaw()
  await site.killReceiver(receiver)
}

export const oldPrimary: readonly Scene[] = returns.map((way) => ({
  fault: way.fault,
  full: 5,
  play: (play) => comeBack(way, play),
}))
