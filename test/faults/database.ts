/**
 * Several receivers on one PostgreSQL with a synchronous standby: what 64 senders were told is there after each fault, once,
 * and the chain is whole. On real clusters that this part makes, with real signals.
 */
import { withoutServer } from '../postgres/cluster.ts'
import { Tally } from './audit-disk.ts'
import { endedWaits } from './database/ended-waits.ts'
import { fullDisks } from './database/full-disks.ts'
import { hanging } from './database/hanging.ts'
import { killPrimary } from './database/kill-primary.ts'
import { oldPrimary } from './database/old-primary.ts'
import { receivers } from './database/receivers.ts'
import type { Scene } from './database/scene.ts'
import { Ended } from './database/site.ts'
import { Times } from './database/times.ts'
import { inParallel } from './load.ts'
import type { Part, Row, Run } from './part.ts'
import { random } from './random.ts'
import { missingHere } from './strace.ts'

const scenes: readonly Scene[] = [
  killPrimary,
  ...endedWaits,
  ...oldPrimary,
  ...receivers,
  ...hanging,
  ...fullDisks,
]

/** Most of a scene is waiting. */
const lanes = 4

const timesOf = ({ full }: Scene, { share }: Run): number => Math.max(1, Math.round(full * share))

async function playScene(scene: Scene, run: Run, index: number, onCase: () => void): Promise<Row> {
  const tally = new Tally(scene.fault, 'both')
  const missing = missingHere(scene.needs ?? [])
  if (missing !== undefined) {
    tally.note(`skipped: ${missing}`)
    return tally.row()
  }
  const dice = random(run.seed * 100 + index)
  const times = new Times()
  let played = 0
  for (; played < timesOf(scene, run) && performance.now() < run.until; played++) {
    try {
      await scene.play({ dice, tally, times })
    } catch (error) {
      if (!(error instanceof Ended)) throw error
    }
    onCase()
  }
  tally.note(played > 0 ? times.text : 'skipped: the time of the run was up')
  return tally.row()
}

export const part: Part = {
  name: 'database',
  async missing() {
    return withoutServer || missingHere([])
  },
  async run(run) {
    const total = scenes.reduce((sum, scene) => sum + timesOf(scene, run), 0)
    let done = 0
    const onCase = (): void => run.progress(++done, total)
    const rows: Row[] = new Array(scenes.length)
    await inParallel(scenes, lanes, async (scene, index) => {
      rows[index] = await playScene(scene, run, index, onCase)
    })
    return rows
  },
}
