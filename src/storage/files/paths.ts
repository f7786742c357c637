/** The only place that joins a path below the data directory (SPEC 4). */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import {
  developmentTokenName,
  pausedName,
  type RecordPath,
  recordsName,
  timelineName,
} from '../../records/layout.ts'

/** Names come from validated envelopes. This second check refuses a name that a contract lets through by mistake. */
const safeName = /^[A-Za-z0-9@_][A-Za-z0-9@_-]{0,127}$/

export function isSafeName(name: string): boolean {
  return safeName.test(name)
}

function checked(name: string): string {
  if (!isSafeName(name)) throw new Error('a name that is not a plain file name reached storage')
  return name
}

/** The directories of an association, outermost first; each is created and fsynced in its parent. */
export function associationDirectories(root: string, of: RecordPath): readonly [string, string] {
  const addon = join(root, checked(of.addon))
  return [addon, join(addon, checked(of.association_slug))]
}

export function placekeyFile(root: string, of: RecordPath & { readonly participant_id: string }): string {
  return join(associationDirectories(root, of)[1], `${checked(of.participant_id)}.json`)
}

/** `records.json.torn-20261120T184502123Z`: the bytes that recovery cut off, kept for whoever asks. */
export function tornName(now: Date): string {
  return `${recordsName}.torn-${now.toISOString().replace(/[-:.]/g, '')}`
}

/** A stale lock on its way out: moved aside, so that it cannot be taken for the one that replaces it (`lock.ts`). */
export const asideName = (lock: string): string => `${lock}.stale-${process.pid}`

/**
 * A temporary of this process, beside the file that it is to become: `.tmp-<pid>-<random>`. Nobody else gives such a name, so
 * one that is old was left by a process that was killed. (write-file-atomic adds digits to it for a moment.)
 */
export const temporaryIn = (directory: string): string =>
  join(directory, `.tmp-${process.pid}-${randomBytes(6).toString('hex')}`)

/** In the data directory itself. Its first line is the reason (SPEC 2, step 3). */
export const pausedFile = (root: string): string => join(root, pausedName)
/** Where a receiver on a PostgreSQL last stored (`storage/postgres/timeline.ts`). */
export const timelineFile = (root: string): string => join(root, timelineName)
export const developmentTokenFile = (root: string): string => join(root, developmentTokenName)
