/** The types that http and storage share: the record that http hands over, and the outcome that storage returns. */
import type { Json, StorageRule } from './contract.ts'

export type Member = readonly [name: string, value: Json]

/** An accepted envelope on its way to disk: normalised, in the order in which its members are written. */
export type AcceptedRecord = {
  readonly addon: string
  readonly association_slug: string
  readonly participant_id: string
  readonly storage: StorageRule
  /** The normalised envelope. For append-only records the id is the SHA-256 of its RFC 8785 form. */
  readonly members: readonly Member[]
  /** Written after `members`, before `receipt`; not part of the id (SPEC 4: `node_token_hash`). */
  readonly unhashed: readonly Member[]
}

/** The answer to a record that is on disk for good. The members from `id` on exist for append-only records only. */
export type Receipt = {
  readonly outcome: 'created' | 'replaced' | 'appended' | 'duplicate'
  /** RFC 3339, UTC, milliseconds. */
  readonly received_at: string
  readonly id?: string
  /** 1 for the first record of an association. */
  readonly sequence?: number
  /** SHA-256 of the stored line without its comma and line feed. */
  readonly record_sha256?: string
  readonly previous_sha256?: string
}

/**
 * Why a record was not stored.
 *   full     no space, no inodes, quota, or less free space than MIN_FREE_BYTES; nothing changed on disk
 *   busy     before the deadline the lock could not be acquired, or the disk did not answer
 *   reading  the records of the association are still being read after a start, for longer than the record may wait; nothing was stored
 *   io       the disk reported an error
 *   files    this process may open no further file
 *   damaged  the association's records file is damaged and was left alone
 *   paused   the owner of the storage has closed it for a while; nothing was stored
 *   long     the record, with its numbers and blanks as they are stored, would be too long to be read back after a crash
 */
export type Fault = 'full' | 'busy' | 'reading' | 'io' | 'files' | 'damaged' | 'paused' | 'long'

export type Outcome =
  | { readonly ok: true; readonly receipt: Receipt }
  | { readonly ok: false; readonly fault: Fault }

export type RecordStore = {
  /**
   * Stores one record by its storage rule. `ok: true` means that the record is fsynced, new directories included.
   * `deadline` is a time on the clock of `performance.now()`, in milliseconds. A write that has not begun by then is dropped.
   */
  put(record: AcceptedRecord, deadline: number): Promise<Outcome>
}
