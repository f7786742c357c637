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

/** The directory of the addon and the directory of the association. Whoever makes one also fsyncs its parent. */
export function associationDirectories(root: string, of: RecordPath): readonly [string, string] {
  const addon = join(root, checked(of.addon))
  return [addon, join(addon, checked(of.association_slug))]
}

export function placekeyFile(root: string, of: RecordPath & { readonly participant_id: string }): string {
  return join(associationDirectories(root, of)[1], `${checked(of.participant_id)}.json`)
}

/** Such as `records.json.torn-20261120T184502123Z`: keeps the bytes that recovery cut off. */
export function tornName(now: Date): string {
  return `${recordsName}.torn-${now.toISOString().replace(/[-:.]/g, '')}`
}

/** The name to which a stale lock is moved before it is removed (`lock.ts`). */
export const asideName = (lock: string): string => `${lock}.stale-${process.pid}`

/**
 * A temporary file of this process, in the directory of the file that it will become: `.tmp-<pid>-<random>`. Only this program
 * gives such names, so an old one was left by a killed process. (write-file-atomic adds digits to the name for a moment.)
 */
export const temporaryIn = (directory: string): string =>
  join(directory, `.tmp-${process.pid}-${randomBytes(6).toString('hex')}`)

/** The file with which the operator pauses the receiver. Its first line is the reason (SPEC 2, step 3). */
export const pausedFile = (root: string): string => join(root, pausedName)
/** Names the server and the timeline on which a receiver with a PostgreSQL store last stored (`storage/postgres/timeline.ts`). */
export const timelineFile = (root: string): string => join(root, timelineName)
export const developmentTokenFile = (root: string): string => join(root, developmentTokenName)
