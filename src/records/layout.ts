/** The names and modes of the files in a data directory (SPEC 4), for the receiver and for the auditor's tool and page. */

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
/** An index that version 1.0 kept beside a long records file, or the part of one that a kill left. Nothing reads it any more. */
export const oldIndexPattern = /^\.records\.index(\.\d{1,10})?$/
/** A stale lock that a receiver moved aside and, because it was killed, did not remove. */
export const asidePattern = /^records\.json\.lock\.stale-\d+$/
/** A temporary that a killed write leaves. write-file-atomic adds digits to the name for a moment. */
export const ownTemporaryPattern = /^\.tmp-\d+-[0-9a-f]{12}(\.\d{1,10})?$/
/** NFS and FUSE keep a removed file under such a name until the last program has closed it. */
export const keptOpenPattern = /^\.(fuse_hidden|nfs)[0-9a-f]+$/
/** Lies beside a records file that is refused as damaged, and holds the reason. */
export const refusedName = '.refused.json'

/** In the data directory itself: the mark that says that records belong here. */
export const markName = '.civic-orchestrator'
/** In the data directory itself: its first line is the reason why the receiver is closed (SPEC 2, step 3). */
export const pausedName = '.paused'
/** In the data directory itself: the server and timeline on which a receiver with a PostgreSQL store last stored. */
export const timelineName = '.postgres.json'
/** In the data directory itself: the token that a receiver made for development. */
export const developmentTokenName = '.node_token'
/** In the data directory of a checkout: makes the empty directory a part of the repository. */
export const ignoreName = '.gitignore'

export const fileMode = 0o640
/** With the set-group-id bit, so that new files and directories inside belong to the auditors' group. */
export const directoryMode = 0o2750
/** For tokens, backups and temporaries: only the owner can read and write them. */
export const ownerOnly = 0o600
export const ownerOnlyDirectory = 0o700
/** With this umask new files get the modes above: the owner and the auditors' group can read them, and nobody else. */
export const umask = 0o027
/** A mode that has one of these bits lets users other than the owner write, or do anything at all. */
export const writableByOthers = 0o022
export const openToOthers = 0o077
