/** The only place that joins a path below the data directory (SPEC 4). */
import { join } from 'node:path'

/** Names come from validated envelopes; this is the second lock on the door, should a contract ever let one through. */
const safeName = /^[A-Za-z0-9@_][A-Za-z0-9@_-]{0,127}$/

function checked(name: string): string {
  if (!safeName.test(name)) throw new Error('a name that is not a plain file name reached storage')
  return name
}

export type RecordPath = { readonly addon: string; readonly association_slug: string }

/** The directories of an association, outermost first; each is created and fsynced in its parent. */
export function associationDirectories(root: string, of: RecordPath): readonly [string, string] {
  const addon = join(root, checked(of.addon))
  return [addon, join(addon, checked(of.association_slug))]
}

export function placekeyFile(root: string, of: RecordPath & { readonly participant_id: string }): string {
  return join(associationDirectories(root, of)[1], `${checked(of.participant_id)}.json`)
}

export const recordsName = 'records.json'
export const headName = '.records.head.json'
/** See `index-file.ts`. */
export const indexName = '.records.index'
export const lockName = `${recordsName}.lock`

/** `records.json.torn-20261120T184502123Z`: the bytes that recovery cut off, kept for whoever asks. */
export function tornName(now: Date): string {
  return `${recordsName}.torn-${now.toISOString().replace(/[-:.]/g, '')}`
}

export const tornPattern = /^records\.json\.torn-\d{8}T\d{9}Z$/
/** What a write that was killed leaves behind: `<file>.<digits>`. */
export const temporaryPattern = /^(.+\.json|\.records\.index)\.\d{1,10}$/

/** A stale lock on its way out: moved aside, so that it cannot be taken for the one that replaces it (`lock.ts`). */
export const asideName = (lock: string): string => `${lock}.stale-${process.pid}`
export const asidePattern = /^records\.json\.lock\.stale-\d+$/

/** In the data directory itself. Its first line is the reason (SPEC 2, step 3). */
export const pausedFile = (root: string): string => join(root, '.paused')
export const developmentTokenFile = (root: string): string => join(root, '.node_token')
