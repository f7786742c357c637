/** The events of the storage that metrics count. Called before an answer is sent, so quick and without a throw. */
export type StorageObserver = {
  /** The disk was made to keep something: a batch of appended records, or one file that was replaced. */
  synced(rule: 'append' | 'overwrite', ms: number): void
  /** A batch of this many records is on disk. */
  batch(records: number): void
  /** The lock on a records file was had, or not had in time, after this long. */
  lockWait(ms: number): void
}
