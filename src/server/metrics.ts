/**
 * The metrics of `GET /metrics`, for Prometheus. Off unless METRICS=1.
 *
 * No label names an association or a person. The labels are addons, statuses and kinds of refusal, together about two hundred
 * series.
 */
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { type ProblemName, problemNames, statusOf } from '../http/problem.ts'
import { refusalsOfEnvelopes } from '../http/receive.ts'
import type { Metrics } from '../http/tell.ts'
import type { StorageObserver } from '../storage/observer.ts'
import { gaugesOf, type Sources } from './gauges.ts'

const prefix = 'civic_'
/** In seconds, from a duplicate that is answered from memory to the limit of 10 s. */
const durations = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const batches = [1, 2, 4, 8, 16, 32, 64]

/** `addons` are the addons of the registry. */
export function createMetrics(addons: Iterable<string>): {
  http: Metrics
  storage: StorageObserver
  watch(sources: Sources): void
} {
  const registry = new Registry()
  let look = async (): Promise<void> => {}
  collectDefaultMetrics({ register: registry })
  const http: Metrics = {
    contentType: registry.contentType,
    async text() {
      await look()
      return registry.metrics()
    },
    answered: answersIn([registry], addons),
  }
  const watch = (sources: Sources): void => {
    look = gaugesOf(sources, registry)
  }
  return { http, storage: storageIn([registry]), watch }
}

function answersIn(registers: [Registry], addons: Iterable<string>): Metrics['answered'] {
  const requests = new Counter({
    name: `${prefix}requests_total`,
    help: 'Answers by addon (none when it is not known), status and outcome: stored, duplicate, or the kind of refusal',
    labelNames: ['addon', 'status', 'outcome'],
    registers,
  })
  // begins each series with 0, because Prometheus sees no increase in a series that begins with its first count
  const begin = (addon: string, outcome: ProblemName): void =>
    requests.inc({ addon, status: statusOf(outcome), outcome }, 0)
  for (const outcome of problemNames) begin('none', outcome)
  for (const addon of addons) for (const outcome of refusalsOfEnvelopes) begin(addon, outcome)
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
  return ({ addon = 'none', status, outcome, bytes: read = 0, ms }) => {
    requests.inc({ addon, status, outcome })
    seconds.observe({ addon }, ms / 1000)
    if (read > 0) bytes.inc(read)
  }
}

function storageIn(registers: [Registry]): StorageObserver {
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
  const again = new Counter({
    name: `${prefix}database_again_total`,
    help: 'Batches that were sent to the database again: another receiver was first (lost), or the connection broke (broken)',
    labelNames: ['why'],
    registers,
  })
  return {
    synced: (rule, ms) => syncs.observe({ rule }, ms / 1000),
    batch: (records) => batch.observe(records),
    lockWait: (ms) => locks.observe(ms / 1000),
    again: (why) => again.inc({ why }),
  }
}
