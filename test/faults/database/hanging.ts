/** The primary is stopped (SIGSTOP), as on a machine whose disk hangs. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseScene, Play } from './scene.ts'
import { Site } from './site.ts'
import { farTooLongMs } from './times.ts'

const enough = 100
/** A receiver that waits for the server answers so late that it is noticed. */
const hangMs = farTooLongMs + 1_000

async function hang(goesOn: boolean, play: Play): Promise<void> {
  const site = await Site.open(play)
  const hanging = site.primary
  try {
    const load = site.load()
    await site.storesAgain(enough, 'before the server hangs')
    const from = performance.now()
    hanging.freeze()
    await sleep(hangMs + site.dice.below(2_000))
    if (goesOn) hanging.thaw()
    else await site.promote()
    await site.storesAgain(enough, goesOn ? 'when the server goes on' : 'after the promotion')
    site.silenceSince(from)
    if (!goesOn) {
      // The old primary now goes on with its work, which nobody may count as stored.
      hanging.thaw()
      await site.storesAgain(enough, 'when the old primary goes on')
    }
    await load.stop()
    await site.judge()
  } finally {
    hanging.thaw()
    await site.close()
  }
}

export const hanging: readonly DatabaseScene[] = [
  { fault: 'the primary hangs (SIGSTOP) and goes on', full: 4, play: (play) => hang(true, play) },
  {
    fault: 'the primary hangs, promotion, the old one goes on',
    full: 4,
    play: (play) => hang(false, play),
  },
]
