/** Positions in the chain of a `records.json`. */

/** The previous hash of the first record. */
export const noHash = '0'.repeat(64)

/** The last bytes of a file at rest. The next record is written over them. */
export const closing = '\n]\n'

/** How far a chain goes: `end` is the offset behind the `}` of the last record, or behind `[` when there is no record. */
export type Position = { readonly count: number; readonly end: number; readonly sha256: string }

export const emptyPosition: Position = { count: 0, end: 1, sha256: noHash }
