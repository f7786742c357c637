/** The names below a data directory (SPEC 4): what a receiver gives them, and what an auditor's tool or page knows them by. */

/** One association of one addon. */
export type RecordPath = { readonly addon: string; readonly association_slug: string }

/** `<addon>/<association>`: how an association is named in logs, lists and messages. */
export function nameOf({ addon, association_slug }: RecordPath): string {
  return `${addon}/${association_slug}`
}

export const recordsName = 'records.json'
export const headName = '.records.head.json'
export const lockName = `${recordsName}.lock`

export const tornPattern = /^records\.json\.torn-\d{8}T\d{9}Z$/
/** What version 1.0 kept beside a long records file, and what a kill left of one. Nothing depends on it. */
export const oldIndexPattern = /^\.records\.index(\.\d{1,10})?$/
/** A stale lock that a receiver moved aside and did not remove. */
export const asidePattern = /^records\.json\.lock\.stale-\d+$/
/** What a write that was killed may leave (write-file-atomic adds digits to the name for a moment). */
export const ownTemporaryPattern = /^\.tmp-\d+-[0-9a-f]{12}(\.\d{1,10})?$/
/** Beside a records file that is refused as damaged. */
export const refusedName = '.refused.json'

/** In the data directory itself: the mark that says that records belong here. */
export const markName = '.civic-orchestrator'
/** In the data directory itself: its first line is the reason why the receiver is closed (SPEC 2, step 3). */
export const pausedName = '.paused'
/** In the data directory itself: where a receiver on a PostgreSQL last stored. */
export const timelineName = '.postgres.json'
/** In the data directory itself: the token that a receiver made for development. */
export const developmentTokenName = '.node_token'
/** In a checkout, so that an empty data directory is part of it. */
export const ignoreName = '.gitignore'

export const fileMode = 0o640
/** With the set-group-id bit, so that what is made inside belongs to the auditors' group. */
export const directoryMode = 0o2750
/** For tokens, backups and what is written on the way: the owner alone. */
export const ownerOnly = 0o600
export const ownerOnlyDirectory = 0o700
