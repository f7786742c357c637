/** Kills every process of the primary with SIGKILL under load. The standby is promoted, and a new standby takes its place. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseScene } from './scene.ts'
import { Site } from './site.ts'

const enough = 200
/** The number of kills on one site. The promoted server is killed as well. */
const inARow = 2

export const killPrimary: DatabaseScene = {
  fault: `kill -9 of the primary and promotion, ${inARow} in a row`,
  full: 15,
  async play(play) {
    const site = await Site.open(play)
    try {
      for (let killed = 0; killed < inARow; killed++) {
        const load = site.load()
        await site.storesAgain(enough, 'before the kill')
        await sleep(site.dice.below(700))
        const from = performance.now()
        await site.primary.kill()
        await sleep(site.dice.below(300))
        await site.promote()
        await site.storesAgain(enough, 'after the promotion')
        site.silenceSince(from)
        await site.attachNew()
        await site.storesAgain(enough, 'with the new standby')
        await load.stop()
        await site.judge()
      }
    } finally {
      await site.close()
    }
  },
}
