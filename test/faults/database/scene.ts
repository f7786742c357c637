/** A scene of the part `database`: a fault that is made a number of times, each time on a site of its own. */
import type { SiteOptions } from './site.ts'

/** The options of a site that the part gives. */
export type Play = Pick<SiteOptions, 'dice' | 'tally' | 'times' | 'command'>

export type DatabaseScene = {
  readonly fault: string
  /** How often the scene is played in a full run. */
  readonly full: number
  /** The programs for which `missingHere` looks. */
  readonly needs?: readonly string[]
  /** What else this machine lacks for the scene, in words; undefined when nothing is missing. */
  readonly missing?: () => string | undefined
  readonly play: (play: Play) => Promise<void>
}
