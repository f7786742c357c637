/** The metrics whose values are found out when Prometheus asks: whether records can be stored, and what may soon prevent it. */
import { statfs } from 'node:fs/promises'
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Reason } from '../http/ready.ts'
import { readBackupStatus } from './backup-status.ts'
import type { SenderClock } from './sender-clock.ts'

export type Sources = {
  readonly dataDir: string
  readonly minFreeBytes: number
  /** The file in which the backup notes how it ended; undefined when it is not configured. */
  readonly backupStatus: string | undefined
  readonly clock: SenderClock
  /** Whether the tokens that were to be read last were refused. */
  readonly tokens: { readonly areRefused: boolean }
  readonly log: { readonly lostLines: number; readonly waitingBytes: number }
  /** The same as `GET /ready` answers. */
  readonly readiness: () => Promise<{
    readonly reasons: readonly Reason[]
    readonly refused: readonly string[]
    readonly locked?: readonly string[]
    readonly reading?: readonly string[]
    readonly standbys?: number | undefined
  }>
}

/** Gives the function that finds out all values. A metric whose value is not known is left out, because 0 would be a value. */
export function gaugesOf(sources: Sources, registry: Registry): () => Promise<void> {
  const gauge = gaugesIn(registry)
  gauge('min_free_bytes', 'Below this much free space nothing is stored')(sources.minFreeBytes)
  const looks = [
    lookAtStore(sources, registry),
    lookAtBackup(sources, registry),
    lookAtLog(sources, registry),
  ]
  const clock = gauge(
    'sender_clock_seconds',
    'How far the clock of this machine is ahead of submitted_at, in that one of the last posts in which it is least',
  )
  const tokens = gauge(
    'tokens_refused',
    '1 when the tokens that were to be read again last were refused, so that the old ones stay; else 0',
  )
  return async () => {
    clock(sources.clock.seconds)
    tokens(sources.tokens.areRefused ? 1 : 0)
    await Promise.all(looks.map((look) => look()))
  }
}

/** Sets the value of a metric, or with undefined removes it. */
type Set = (value: number | undefined) => void

function gaugesIn(registry: Registry): (name: string, help: string) => Set {
  return (name, help) => {
    const gauge = new Gauge({ name: `civic_${name}`, help, registers: [registry] })
    // The gauge is removed, because prom-client gives a new gauge without labels the value 0.
    gauge.remove()
    return (value) => (value === undefined ? gauge.remove() : gauge.set(value))
  }
}

function lookAtStore({ dataDir, readiness }: Sources, registry: Registry): () => Promise<void> {
  const gauge = gaugesIn(registry)
  const ready = new Gauge({
    name: 'civic_ready',
    help: '1 when records can be stored, with the reason none; else 0, for each reason that /ready gives',
    labelNames: ['reason'],
    registers: [registry],
  })
  const freeBytes = gauge('free_bytes', 'Free space where the records are')
  const freeInodes = gauge('free_inodes', 'How many files can still be made where the records are')
  const refused = gauge(
    'refused_associations',
    'Associations that are refused because their records file is damaged',
  )
  const locked = gauge('locked_associations', 'Associations that store nothing because the lock is not had')
  const standbys = gauge(
    'database_standbys',
    'Synchronous standbys that are attached to the database; 0 also when its commits wait for none',
  )
  const reading = gauge('reading_associations', 'Associations whose records are being read after a start')
  return async () => {
    const now = await readiness()
    ready.reset()
    for (const { kind } of now.reasons) ready.set({ reason: kind }, 0)
    if (now.reasons.length === 0) ready.set({ reason: 'none' }, 1)
    refused(now.refused.length)
    locked(now.locked?.length)
    reading(now.reading?.length)
    standbys(now.standbys)
    // If another file system is mounted in the place of the data directory, the free space of that file system says nothing.
    const isThere = now.reasons.every(({ kind }) => kind !== 'data-directory')
    const found = isThere ? await statfs(dataDir).catch(() => undefined) : undefined
    freeBytes(found && found.bavail * found.bsize)
    // a file system without a limit of inodes reports 0 of 0
    freeInodes(found && found.files > 0 ? found.ffree : undefined)
  }
}

function lookAtBackup({ backupStatus }: Sources, registry: Registry): () => Promise<void> {
  if (backupStatus === undefined) return async () => {}
  const gauge = gaugesIn(registry)
  const exit = gauge(
    'backup_last_exit_status',
    'Of the last backup: 0 all of it, 1 made but it names something, 2 not made',
  )
  const ended = gauge('backup_last_end_timestamp_seconds', 'When the last backup ended, however it ended')
  const made = gauge(
    'backup_last_made_timestamp_seconds',
    'When a backup was made last; 0 when none is known',
  )
  return async () => {
    const found = readBackupStatus(backupStatus)
    exit(found?.exit)
    ended(found?.endedAt)
    made(found?.madeAt ?? 0)
  }
}

function lookAtLog({ log }: Sources, registry: Registry): () => Promise<void> {
  const lost = new Counter({
    name: 'civic_log_lost_lines_total',
    help: 'Lines of the log that standard output did not take',
    registers: [registry],
  })
  const waiting = gaugesIn(registry)('log_waiting_bytes', 'What standard output has not taken yet')
  let seen = 0
  return async () => {
    lost.inc(log.lostLines - seen)
    seen = log.lostLines
    waiting(log.waitingBytes)
  }
}
