/**
 * The primary was lost and its standby promoted. Then the old primary comes back, first in the list of every receiver. A receiver that has
 * stored on the new primary refuses the old one by its timeline. A receiver that has never stored and reaches only the old primary uses it.
 * It cannot acknowledge, because the old primary still has its standby names, or because of REQUIRE_STANDBY.
 */
import { participantOf } from '../load.ts'
import type { DatabaseScene, Play } from './scene.ts'
import { Site } from './site.ts'

const enough = 100

type Return = {
  readonly fault: string
  readonly namesKept: boolean
  readonly requireStandby: boolean
  /** Whether a receiver that has never stored anything joins. */
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
    // The receiver reads from its data directory on which timeline it has stored.
    const restarted = site.dice.of(site.receivers)
    await site.killReceiver(restarted)
    await site.startReceiver(restarted.dataDir)
    // The other receivers must connect anew, too.
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

/** A new receiver meets the old primary. It would use the promoted one if that one answered. Its answers count like all others. */
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

export const oldPrimary: readonly DatabaseScene[] = returns.map((way) => ({
  fault: way.fault,
  full: 5,
  play: (play) => comeBack(way, play),
}))
