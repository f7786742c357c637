/**
 * Several receivers on one PostgreSQL with a synchronous standby: what 64 senders were told is there after each fault, once,
 * and the chain is whole. On real clusters that this part makes, with real signals.
 */
import { withoutServer } from '../postgres/cluster.ts'
import { Tally } from './audit-disk.ts'
import { endedWaits } from './database/ended-waits.ts'
import { killPrimary } from './database/kill-primary.ts'
import type { Scene } from './database/scene.ts'
import { Ended } from './database/site.ts'
import { inParallel } from './load.ts'
import type { Part, Row, Run } from './part.ts'
import { random } from './random.ts'
import { missingHere } from './strace.ts'

const scenes: readonly Scene[] = [killPrimary, ...endedWaits]

/** Most of a scene is waiting. */
const lanes = 3

async function playScene(
  { fault, full, play }: Scene,
  run: Run,
  index: number,
  onCase: () => void,
): Promise<Row> {
  const tally = new Tally(fault, 'both')
  const times = Math.max(1, Math.round(full * run.share))
  if (performance.now() > run.until) tally.note('skipped: the time of the run was up')
  else
    await play({
      dice: random(run.seed * 100 + index),
      tally,
      times,
      onCase() {
        onCase()
        return performance.now() < run.until
      },
    }).catch((error) => {
      if (!(error instanceof Ended)) throw error
    })
  return tally.row()
}

export const part: Part = {
  name: 'database',
  async missing() {
    return withoutServer === false ? missingHere(['mount']) : withoutServer
  },
  async run(run) {
    const total = scenes.reduce((sum, { full }) => sum + Math.max(1, Math.round(full * run.share)), 0)
    let done = 0
    const onCase = (): void => run.progress(++done, total)
    const rows: Row[] = new Array(scenes.length)
    await inParallel(scenes, lanes, async (scene, index) => {
      rows[index] = await playScene(scene, run, index, onCase)
    })
    return rows
  },
}
