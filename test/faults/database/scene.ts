/** A scene of the database part: a fault that is made a number of times, each time on a site that is whole. */
import type { Tally } from '../audit-disk.ts'
import type { Random } from '../random.ts'

export type Play = {
  readonly dice: Random
  readonly tally: Tally
  /** How often, in this run. */
  readonly times: number
  /** Called after each; false when the time of the run is up. */
  readonly onCase: () => boolean
}

export type Scene = {
  readonly fault: string
  /** How often in a full run. */
  readonly full: number
  readonly play: (play: Play) => Promise<void>
}
