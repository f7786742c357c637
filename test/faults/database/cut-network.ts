/**
 * The network between the receivers and the primary is cut: packets are lost, and nobody is told. The standby still reaches the primary. The
 * network comes back as it was, or the standby is promoted meanwhile and the old primary is reached again afterwards.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Server } from '../../postgres/cluster.ts'
import { preparedServer } from '../../postgres/prepared.ts'
import { Away, type Cut, missingNetwork, range } from './away.ts'
import type { DatabaseScene, Play } from './scene.ts'
import { Site } from './site.ts'

const enough = 100
/** This is longer than a request may wait. */
const cutMs = 11_000
const longestMs = 30_000
const cuts: readonly Cut[] = ['both directions', 'answers only']

/** Makes the server, and each standby that is copied from it, listen at these addresses. */
async function listenAt(server: Server, addresses: readonly string[]): Promise<void> {
  server.set(`listen_addresses = '${['127.0.0.1', ...addresses].join(',')}'`)
  appendFileSync(join(server.data, 'pg_hba.conf'), `host all all ${range} trust\n`)
  await server.stop()
  await server.start()
}

async function cutOff(promotes: boolean, play: Play): Promise<void> {
  const away = await Away.open()
  try {
    const [toReceivers, toPrimary, toStandby] = [away.cable(), away.cable(), away.cable()]
    const primary = await preparedServer()
    await listenAt(primary, [toPrimary.here, toStandby.here])
    const addresses = { receivers: toReceivers.there, primary: toPrimary.here, standby: toStandby.here }
    const site = await Site.open({ ...play, primary, addresses, command: [...away.enter, ...play.command] })
    try {
      const load = site.load()
      await site.storesAgain(enough, 'before the cut')
      await sleep(site.dice.below(500))
      toPrimary.cut(site.dice.of(cuts))
      await sleep(cutMs + (site.dice.oneIn(2) ? 0 : site.dice.below(longestMs - cutMs)))
      if (promotes) {
        const from = performance.now()
        await site.promote()
        await site.storesAgain(enough, 'after the promotion')
        site.silenceSince(from)
      }
      const mended = performance.now()
      toPrimary.mend()
      await site.storesAgain(enough, 'when the network is back')
      if (!promotes) site.silenceSince(mended)
      for (const { url } of site.receivers) await site.storesAt(url)
      await load.stop()
      await site.judge()
    } finally {
      await site.close()
    }
  } finally {
    await away.close()
  }
}

const needs = ['ip', 'unshare', 'nsenter']

export const cutNetwork: readonly DatabaseScene[] = [
  {
    fault: 'the network to the primary is cut and comes back',
    full: 6,
    needs,
    missing: missingNetwork,
    play: (play) => cutOff(false, play),
  },
  {
    fault: 'the network to the primary is cut, promotion',
    full: 4,
    needs,
    missing: missingNetwork,
    play: (play) => cutOff(true, play),
  },
]
