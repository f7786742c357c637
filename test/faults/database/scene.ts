/** A scene of the database part: a fault that is made a number of times, each time on a site of its own. */
import type { Tally } from '../audit-disk.ts'
import type { Random } from '../random.ts'
import type { Times } from './times.ts'

export type Play = { readonly dice: Random; readonly tally: Tally; readonly times: Times }

export type Scene = {
  readonly fault: string
  /** How often in a full run. */
  readonly full: number
  /** What `missingHere` is to look for. */
  readonly needs?: readonly string[]
  readonly play: (play: Play) => Promise<void>
}
