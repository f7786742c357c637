/** What storage tells whoever watches it. Called on the way to an answer: it takes no time and does not throw. */
export type StorageObserver = {
  /** The disk was made to keep something: a batch of appended records, or one file that was replaced. */
  synced(rule: 'append' | 'overwrite', ms: number): void
  /** A batch of this many records is on disk. */
  batch(records: number): void
  /** The lock on a records file was had, or not had in time, after this long. */
  lockWait(ms: number): void
}
