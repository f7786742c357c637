/** Gives each record to the storage rule that its contract names. Knows no HTTP. */
import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import type { StorageRule } from '../../contracts/contract.ts'
import type { AcceptedRecord, Outcome, RecordStore } from '../../contracts/record.ts'
import type { Log } from '../log.ts'
import { AppendLog } from './append.ts'
import { codeOf } from './fault.ts'
import type { StorageObserver } from './observer.ts'
import { OverwriteRule } from './overwrite.ts'
import { associationDirectories, type RecordPath } from './paths.ts'
import { removeTemporaries, unclosed } from './sweep.ts'

export type StoreOptions = {
  /** The data directory. */
  readonly root: string
  /** Below this many free bytes nothing is tried (507). */
  readonly minFreeBytes: number
  readonly log: Log
  readonly observer?: StorageObserver | undefined
}

type Readiness = {
  /** Why nothing can be stored now; empty when it can. */
  readonly reasons: readonly string[]
  /** Associations whose records file was refused as damaged since the start. */
  readonly refused: readonly string[]
}

export type Store = RecordStore & {
  readiness(): Promise<Readiness>
  /** Puts in order what killed processes left. Runs beside the first requests. */
  sweep(addons: ReadonlyMap<string, StorageRule>): Promise<void>
  /** Ends what is under way and gives every lock back. */
  close(): Promise<void>
}

/** Free space is asked for at most this often. */
const freeSpaceMs = 250
const tidyMs = 1_000
/** What is kept of associations without work: open files, ids in memory (about 35 MB), and the rest of each. */
const mostOpen = 256
const mostRecords = 1_000_000
const mostLogs = 10_000

export function openStore({ root, minFreeBytes, log, observer }: StoreOptions): Store {
  const overwrite = new OverwriteRule(root, log, observer)
  /** In order of use: a log that is asked for moves to the end. */
  const logs = new Map<string, AppendLog>()
  const refused = new Set<string>()
  let tidied = 0
  let free: { at: number; enough: Promise<boolean> } | undefined

  const logOf = (of: RecordPath): AppendLog => {
    const name = nameOf(of)
    const known =
      logs.get(name) ?? new AppendLog(associationDirectories(root, of), namedLog(log, of), observer)
    logs.delete(name)
    logs.set(name, known)
    return known
  }

  const appendOnly = async (record: AcceptedRecord, deadline: number): Promise<Outcome> => {
    const log = logOf(record)
    const outcome = await log.put(record, deadline)
    noteDamage(record, log)
    tidy()
    return outcome
  }

  const noteDamage = (of: RecordPath, log: AppendLog): void => {
    if (log.isDamaged) refused.add(nameOf(of))
    else refused.delete(nameOf(of))
  }

  const tidy = (): void => {
    const now = performance.now()
    if (now - tidied < tidyMs) return
    tidied = now
    let records = 0
    let open = 0
    for (const log of logs.values()) {
      records += log.count
      if (log.isOpen) open++
    }
    for (const [name, log] of logs) {
      if (open <= mostOpen && records <= mostRecords && logs.size <= mostLogs) return
      if (!log.isIdle) continue
      if (log.isOpen) open--
      log.close().catch(() => {})
      if (records <= mostRecords && logs.size <= mostLogs) continue
      logs.delete(name)
      records -= log.count
    }
  }

  const hasRoom = (): Promise<boolean> => {
    const now = performance.now()
    if (!free || now - free.at > freeSpaceMs) free = { at: now, enough: isRoomLeft(root, minFreeBytes) }
    return free.enough
  }

  const rules: Readonly<Record<StorageRule, RecordStore['put']>> = {
    'append-only': appendOnly,
    'overwrite-by-placekey': (record, deadline) => overwrite.put(record, deadline),
  }

  return {
    async put(record, deadline) {
      try {
        if (!(await hasRoom())) return { ok: false, fault: 'full' }
        return await rules[record.storage](record, deadline)
      } catch (error) {
        log.error({ code: codeOf(error) }, 'storing failed')
        return { ok: false, fault: 'io' }
      }
    },

    async readiness() {
      const reasons = await access(root, constants.R_OK | constants.W_OK | constants.X_OK)
        .then(() => isRoomLeft(root, minFreeBytes))
        .then((enough) => (enough ? [] : ['the disk is full, or has less free space than MIN_FREE_BYTES']))
        .catch(() => ['the data directory cannot be read and written'])
      return { reasons, refused: [...refused].sort() }
    },

    async sweep(addons) {
      for (const [addon, rule] of addons) {
        await removeTemporaries(root, addon)
        if (rule === 'append-only') {
          for await (const association_slug of unclosed(root, addon)) {
            const log = logOf({ addon, association_slug })
            await log.look(performance.now() + 10_000)
            noteDamage({ addon, association_slug }, log)
          }
        }
      }
    },

    async close() {
      await Promise.all([overwrite.letGo(), ...[...logs.values()].map((log) => log.close())])
    },
  }
}

function nameOf({ addon, association_slug }: RecordPath): string {
  return `${addon}/${association_slug}`
}

async function isRoomLeft(root: string, minFreeBytes: number): Promise<boolean> {
  const { bavail, bsize, ffree, files } = await statfs(root)
  return bavail * bsize >= minFreeBytes && (files === 0 || ffree > 0)
}

function namedLog(log: Log, { addon, association_slug }: RecordPath): Log {
  const named = (level: keyof Log) => (fields: object, message: string) =>
    log[level]({ addon, association: association_slug, ...fields }, message)
  return { info: named('info'), warn: named('warn'), error: named('error'), fatal: named('fatal') }
}
