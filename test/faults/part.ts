/** The types of one part of the fault tests: its needs and its results. `scripts/faults.ts` runs all parts and prints the table. */

/** A row of the table. `wrong` counts violations of any other kind. `notes` name the violations, and what was skipped inside the part. */
export type Row = {
  readonly fault: string
  readonly rule: 'append-only' | 'overwrite-by-placekey' | 'both' | '-'
  readonly cases: number
  /** The number of acknowledged records that are not there, or not as acknowledged. */
  readonly lost: number
  /** The number of records that are stored more than once. */
  readonly duplicated: number
  /** The number of files that are not valid JSON, or whose chain is broken, after the next start. */
  readonly unreadable: number
  readonly wrong: number
  readonly notes: readonly string[]
}

export type Run = {
  /** The seed of every random choice. It is printed, so that a run can be repeated. */
  readonly seed: number
  /** 1 for a full run; the slice in CI is a fraction of the full counts. */
  readonly share: number
  /** No new case begins after this time of `performance.now()`. Infinity when only the counts decide. */
  readonly until: number
  /** An empty directory for this part, on a real file system. It is removed afterwards. */
  readonly scratch: string
  /** Reports to the progress bar that `done` of `total` cases are done. */
  progress(done: number, total: number): void
}

export type Part = {
  /** The name of the part, as in `--only kill`. */
  readonly name: string
  /** What this machine lacks for the part, in words; undefined when the part can run. */
  missing(): Promise<string | undefined>
  run(run: Run): Promise<readonly Row[]>
}

/** Runs `work` on each item, `width` at a time. */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  let index = 0
  for await (const item of items) {
    const one = work(item, index++).finally(() => running.delete(one))
    running.add(one)
    if (running.size >= width) await Promise.race(running)
  }
  await Promise.all(running)
}
