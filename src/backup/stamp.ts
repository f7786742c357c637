/**
 * The stamp of a file shows whether a program has touched the file since it was last read: inode, size, mtime and ctime. Every
 * write, truncation, rename and change of mode sets the ctime, and no program can set it back while the clock is right. A disk
 * that alters a byte by itself does not set the ctime; `scrub.ts` finds such bytes.
 */
import type { BigIntStats } from 'node:fs'

export function stampOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

/** A file system keeps times in steps: usually a few milliseconds, and at most a second on the systems where this runs. */
const stepMs = 1_000

/**
 * The stamp of a file, or '' if the file changed so lately that a second change may have the same time. The next run reads it
 * again.
 */
export function settledStamp(stat: BigIntStats, now: number): string {
  const age = now - Number(stat.ctimeNs / 1_000_000n)
  return age > 2 * stepMs ? stampOf(stat) : ''
}
