/**
 * What `GET /metrics` tells Prometheus, and the only file that knows prom-client. Off unless METRICS=1.
 *
 * No label names an association or a person: addons, statuses and kinds of refusal are all there is, a few dozen series.
 */
import { statfs } from 'node:fs/promises'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics } from '../http/tell.ts'
import type { StorageObserver } from '../storage/observer.ts'

const prefix = 'civic_'
/** Seconds. From a duplicate that is answered from memory to the limit of 10 s. */
const durations = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const batches = [1, 2, 4, 8, 16, 32, 64]

export type Sources = {
  readonly dataDir: string
  readonly minFreeBytes: number
  /** What the store says of itself, looked up when Prometheus asks. */
  readonly readiness: () => Promise<{
    readonly refused: readonly string[]
    readonly locked?: readonly string[]
  }>
}

export function createMetrics(): { http: Metrics; storage: StorageObserver; watch(sources: Sources): void } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const requests = new Counter({
    name: `${prefix}requests_total`,
    help: 'Answers by addon (none when the envelope was not accepted), status and outcome: stored, duplicate, or the kind of refusal',
    labelNames: ['addon', 'status', 'outcome'],
    registers,
  })
  const seconds = new Histogram({
    name: `${prefix}request_seconds`,
    help: 'From the request head to the answer',
    labelNames: ['addon'],
    buckets: durations,
    registers,
  })
  const bytes = new Counter({
    name: `${prefix}body_bytes_total`,
    help: 'Bytes of the bodies that were read',
    registers,
  })
  const syncs = new Histogram({
    name: `${prefix}sync_seconds`,
    help: 'Until the disk had a batch of appended records (append), or a file that was replaced (overwrite)',
    labelNames: ['rule'],
    buckets: durations,
    registers,
  })
  const batch = new Histogram({
    name: `${prefix}batch_records`,
    help: 'Appended records that shared one write',
    buckets: batches,
    registers,
  })
  const locks = new Histogram({
    name: `${prefix}lock_wait_seconds`,
    help: 'Waiting for the lock on a records file',
    buckets: durations,
    registers,
  })

  const http: Metrics = {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    answered({ addon = 'none', status, outcome, bytes: read = 0, ms }) {
      requests.inc({ addon, status, outcome })
      seconds.observe({ addon }, ms / 1000)
      if (read > 0) bytes.inc(read)
    },
  }
  const storage: StorageObserver = {
    synced: (rule, ms) => syncs.observe({ rule }, ms / 1000),
    batch: (records) => batch.observe(records),
    lockWait: (ms) => locks.observe(ms / 1000),
  }
  const watch = (sources: Sources): void => watchSources(sources, registers)
  return { http, storage, watch }
}

/** Looked up when Prometheus asks. */
function watchSources({ dataDir, minFreeBytes, readiness }: Sources, registers: Registry[]): void {
  new Gauge({
    name: `${prefix}free_bytes`,
    help: 'Free space where the records are',
    registers,
    async collect() {
      // without a value the alert for a missing one tells
      const found = await statfs(dataDir).catch(() => undefined)
      if (found) this.set(found.bavail * found.bsize)
      else this.reset()
    },
  })
  new Gauge({
    name: `${prefix}min_free_bytes`,
    help: 'Below this much free space nothing is stored',
    registers,
  }).set(minFreeBytes)
  new Gauge({
    name: `${prefix}refused_associations`,
    help: 'Associations that are refused because their records file is damaged',
    registers,
    async collect() {
      this.set((await readiness()).refused.length)
    },
  })
  new Gauge({
    name: `${prefix}locked_associations`,
    help: 'Associations that store nothing because their lock has not been had for 30 s',
    registers,
    async collect() {
      this.set((await readiness()).locked?.length ?? 0)
    },
  })
}
