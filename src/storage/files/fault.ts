/** Turns errors of the operating system into the faults that SPEC 2 distinguishes. */

import type { Fault } from '../../../contracts/record.ts'
import { hasCode } from '../../error-code.ts'

/** An expected fault on the way to disk. Any other exception is a mistake in this program. */
export class StorageFault extends Error {
  override readonly name = 'StorageFault'
  readonly fault: Fault

  constructor(fault: Fault, message: string, cause?: unknown) {
    super(message, { cause })
    this.fault = fault
  }
}

const ENFILE = 23
const EMFILE = 24
const ENOSPC = 28
const EFBIG = 27
/** Node 20 has no name for EDQUOT and reports `Unknown system error -122`, so numbers are compared. */
const EDQUOT = 122

function errnoOf(error: unknown): number | undefined {
  const errno = (error as NodeJS.ErrnoException | null)?.errno
  return typeof errno === 'number' ? Math.abs(errno) : undefined
}

export function isFull(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === ENOSPC || errno === EDQUOT || errno === EFBIG
}

/** The limit of this process (`ulimit -n`), or that of the whole machine. */
export function isOutOfFiles(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === EMFILE || errno === ENFILE
}

/** The result of the work; undefined when it fails because there is no such file or directory. */
export async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Called before every write that is not an append, because a process may have been stopped for longer than its lock lasts. */
export function requireLock(isHeld: () => boolean): void {
  if (!isHeld()) throw new StorageFault('busy', 'the lock was lost')
}

/** For the log: the name of the error, never its message, which holds a path. */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | null)?.code ?? String((error as Error | null)?.name)
}

/** The fault behind an error. A mistake in this program counts as `io`, because nothing was stored then either. */
export function faultOf(error: unknown): Fault {
  if (error instanceof StorageFault) return error.fault
  if (isOutOfFiles(error)) return 'files'
  return isFull(error) ? 'full' : 'io'
}

/** The log message for a fault that is neither the sender's fault nor reported elsewhere. */
export function troubleOf(fault: Fault): string | undefined {
  if (fault === 'io') return 'the disk reported an error'
  return fault === 'files' ? 'no further file can be opened' : undefined
}
