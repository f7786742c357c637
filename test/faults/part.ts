/** One part of the proof under faults: what it needs, and what it found. `scripts/faults.ts` runs them and prints the table. */

/** A line of the table. `wrong` counts violations of any other kind; `notes` name them, and what was skipped inside the part. */
export type Row = {
  readonly fault: string
  readonly rule: 'append-only' | 'overwrite-by-placekey' | 'both' | '-'
  readonly cases: number
  /** Acknowledged and not there, or not as acknowledged. */
  readonly lost: number
  /** Stored more than once. */
  readonly duplicated: number
  /** Files that are not valid JSON, or whose chain is broken, after the next start. */
  readonly unreadable: number
  readonly wrong: number
  readonly notes: readonly string[]
}

export type Run = {
  /** Decides every random choice; printed, so that a run can be repeated. */
  readonly seed: number
  /** 1 for a full run; the slice in CI is a fraction of the full counts. */
  readonly share: number
  /** On the clock of `performance.now()`: no new case is begun after it. Infinity when only the counts decide. */
  readonly until: number
  /** An empty directory of this part's own, on a real file system; removed afterwards. */
  readonly scratch: string
  /** For the progress bar: `done` of `total` cases. */
  progress(done: number, total: number): void
}

export type Part = {
  /** As in `--only kill`. */
  readonly name: string
  /** What is missing on this machine, in words; undefined when the part can run. */
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
