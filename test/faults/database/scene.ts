/** A scene of the database part: a fault that is made a number of times, each time on a site of its own. */
import type { SiteOptions } from './site.ts'

/** What a site needs of the part. */
export type Play = Pick<SiteOptions, 'dice' | 'tally' | 'times' | 'command'>

export type Scene = {
  readonly fault: string
  /** How often in a full run. */
  readonly full: number
  /** What `missingHere` is to look for. */
  readonly needs?: readonly string[]
  readonly play: (play: Play) => Promise<void>
}
