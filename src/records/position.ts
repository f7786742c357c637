/** Where in a `records.json` a record ends, and what it ends in. */

/** Stands for the hash of the record before the first one. */
export const noHash = '0'.repeat(64)

/** What a file at rest ends in. The next record is written over it. */
export const closing = '\n]\n'

/** A state of the file: `end` is the offset after the last record's `}`, or after `[` when there is none. */
export type Position = { readonly count: number; readonly end: number; readonly sha256: string }

export const emptyPosition: Position = { count: 0, end: 1, sha256: noHash }
