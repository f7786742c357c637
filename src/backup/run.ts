/** One run of the backup: what all parts of the run share. */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { CannotRun } from '../cli/io.ts'
import { nameOf, type RecordPath } from '../records/layout.ts'
import type { BackupFindings } from './findings.ts'
import type { Scrub } from './scrub.ts'

export type BackupRun = {
  readonly data: string
  /** The backup that is being written. */
  readonly backup: string
  readonly now: Date
  /** Whether the lists are signed, so that their stamps can be trusted. If not, every copy is read. */
  readonly trustsStamps: boolean
  readonly forgetMissing: boolean
  readonly scrub: Scrub
  readonly findings: BackupFindings
  readonly counts: { written: number; checked: number }
  /** Called again and again during the run, so that the lock can be renewed. Ends the run when the lock was lost. */
  readonly turn: (at: RecordPath) => Promise<void>
}

const turnMs = 50

/** `held` tells whether this process still holds the lock. */
export function turns(
  held: () => boolean,
  onProgress: (done: number, what: string) => void,
): BackupRun['turn'] {
  let last = performance.now()
  let done = 0
  return async (at) => {
    done++
    if (performance.now() - last < turnMs) return
    onProgress(done, nameOf(at))
    await nextTurn()
    last = performance.now()
    requireHeld(held)
  }
}

export function requireHeld(held: () => boolean): void {
  if (!held()) throw new CannotRun('another backup into this directory has begun; this one ends')
}
