/**
 * What tells whether a file was touched since it was last read: inode, size, time of its last change and of its last change
 * of any kind. The last one (ctime) is set by every write, truncation, rename and change of mode, and no program can set it back
 * while the clock is right. A disk that alters a byte by itself does not set it: that is what `scrub.ts` is for.
 */
import type { BigIntStats } from 'node:fs'

export function stampOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

/** A file system keeps time in steps, a few milliseconds as a rule and a second at most where this runs. */
const stepMs = 1_000

/** '' for a file that changed so lately that another change may bear the same time: it is read again by the next run. */
export function settledStamp(stat: BigIntStats, now: number): string {
  const age = now - Number(stat.ctimeNs / 1_000_000n)
  return age > 2 * stepMs ? stampOf(stat) : ''
}
