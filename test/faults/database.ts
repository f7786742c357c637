/**
 * The part `database`: several receivers on one PostgreSQL with a synchronous standby. After each fault every record that was acknowledged to one
 * of 64 senders is there once, and the chain is whole. The clusters and signals are real.
 */
import { receiverCommand } from '../bundle.ts'
import { missingHere } from '../needs.ts'
import { withoutServer } from '../postgres/cluster.ts'
import { Tally } from './audit-disk.ts'
import { cutNetwork } from './database/cut-network.ts'
import { endedWaits } from './database/ended-waits.ts'
import { fullDisks } from './database/full-disks.ts'
import { hanging } from './database/hanging.ts'
import { killPrimary } from './database/kill-primary.ts'
import { oldPrimary } from './database/old-primary.ts'
import { receivers } from './database/receivers.ts'
import type { DatabaseScene, Play } from './database/scene.ts'
import { Ended } from './database/site.ts'
import { Times } from './database/times.ts'
import { twoStandbys } from './database/two-standbys.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { random } from './random.ts'

const scenes: readonly DatabaseScene[] = [
  killPrimary,
  ...endedWaits,
  ...oldPrimary,
  ...receivers,
  ...hanging,
  ...twoStandbys,
  ...cutNetwork,
  ...fullDisks,
]

/** The number of scenes at a time, because a scene mostly waits. */
const lanes = 6

const timesOf = ({ full }: DatabaseScene, { share }: Run): number => Math.max(1, Math.round(full * share))

async function playScene(scene: DatabaseScene, run: Run, play: Play, onCase: () => void): Promise<Row> {
  const { tally, times } = play
  const missing = missingHere(scene.needs ?? []) ?? scene.missing?.()
  if (missing !== undefined) {
    tally.note(`skipped: ${missing}`)
    return tally.row()
  }
  let played = 0
  for (; played < timesOf(scene, run) && performance.now() < run.until; played++) {
    try {
      await scene.play(play)
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
      const play = {
        dice: random(run.seed * 100 + index),
        tally: new Tally(scene.fault, 'both'),
        times: new Times(),
        command: receiverCommand,
      }
      rows[index] = await playScene(scene, run, play, onCase)
    })
    return rows
  },
}
