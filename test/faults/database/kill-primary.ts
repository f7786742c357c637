/** SIGKILL to every process of the primary under load; the standby is promoted; a new one takes its place; and so on. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Play, Scene } from './scene.ts'
import { longestSilence, Site } from './site.ts'

const enough = 200

export const killPrimary: Scene = {
  fault: 'kill -9 of the primary, promotion',
  full: 30,
  async play({ dice, tally, times, onCase }: Play) {
    const site = await Site.open({ dice, tally })
    const silences: number[] = []
    try {
      for (let killed = 0; killed < times; killed++) {
        const load = site.load()
        await site.storesAgain(enough, 'before the kill')
        await sleep(dice.below(700))
        const from = performance.now()
        await site.primary.kill()
        await sleep(dice.below(300))
        await site.promote()
        await site.storesAgain(enough, 'after the promotion')
        silences.push(longestSilence(site.ledger, from, performance.now()))
        await site.attachNew()
        await site.storesAgain(enough, 'with the new standby')
        await load.stop()
        await site.judge(`kill ${killed + 1}`)
        tally.cases++
        if (!onCase()) break
      }
      tally.note(`${site.storedCount.toLocaleString('en')} acknowledged; ${inSeconds(silences)}`)
    } finally {
      await site.close()
    }
  },
}

function inSeconds(silences: readonly number[]): string {
  const sorted = silences.map((ms) => ms / 1000).sort((a, b) => a - b)
  const median = sorted[sorted.length >> 1] ?? 0
  return `without an answer 2xx from the kill on: longest ${sorted.at(-1)?.toFixed(1)} s, median ${median.toFixed(1)} s`
}
