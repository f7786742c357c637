/**
 * The events of the storage that the metrics count. The functions run before an answer is sent, so they are quick and never
 * throw.
 */
export type StorageObserver = {
  /** A sync has ended: of a batch of appended records, or of one replaced file. */
  synced(rule: 'append' | 'overwrite', ms: number): void
  /** A batch of this many records is on disk. */
  batch(records: number): void
  /** The lock on a records file was acquired, or was not acquired in time, after this long. */
  lockWait(ms: number): void
  /** A batch is sent to the database again, because another writer was first or the connection broke. */
  again(why: 'lost' | 'broken'): void
}
