/** The file store: hands each record to the storage rule that its contract names. */

import type { StorageRule } from '../../../contracts/contract.ts'
import { contracts } from '../../../contracts/index.ts'
import type { AcceptedRecord, Outcome } from '../../../contracts/record.ts'
import type { Log } from '../../log.ts'
import { nameOf, type RecordPath } from '../../records/layout.ts'
import type { StorageObserver } from '../observer.ts'
import type { Readiness, Store } from '../store.ts'
import { AppendLog } from './append.ts'
import { codeOf } from './fault.ts'
import { Health } from './health.ts'
import { markCheck } from './mark.ts'
import { OverwriteRule } from './overwrite.ts'
import { associationDirectories } from './paths.ts'
import { type FoundAssociation, survey } from './survey.ts'

export type FileStoreOptions = {
  /** The data directory. */
  readonly root: string
  /** With fewer free bytes than this, nothing is written (507). */
  readonly minFreeBytes: number
  /** The files of so many associations stay open without work: of those that were used last. */
  readonly mostOpen?: number
  readonly log: Log
  readonly observer?: StorageObserver | undefined
}

const anotherDirectory = {
  kind: 'data-directory',
  text: 'the data directory does not bear the mark that it had at the start: its file system is gone, or another is in its place',
} as const
const tidyMs = 1_000
/** By then the temporaries of a receiver that was killed right before this start are old enough to be removed. */
const secondSurveyMs = 30_000
/** How long the start waits for the lock on a file that it has to repair. */
const recoverMs = 10_000
/** A shorter records file is not read ahead, because reading it takes no longer than an answer. */
const leastPreloaded = 1024 * 1024
/** How many ids (about 70 MB) and how many associations are kept in memory without work. */
const mostKnownRecords = 2_000_000
const mostLogs = 10_000

export function openFileStore(options: FileStoreOptions): Store {
  const store = new FileStore(options)
  return {
    put: (record, deadline) => store.put(record, deadline),
    readiness: () => store.readiness(),
    start: () => store.start(),
    close: () => store.close(),
  }
}

class FileStore {
  readonly #root: string
  readonly #log: Log
  readonly #observer: StorageObserver | undefined
  readonly #health: Health
  readonly #mostOpen: number
  readonly #overwrite: OverwriteRule
  readonly #isMarked: () => boolean
  /** In order of use: a log that is asked for moves to the end. */
  readonly #logs = new Map<string, AppendLog>()
  /** The logs whose files may be open, in order of use. */
  readonly #open = new Set<AppendLog>()
  readonly #refused = new Set<string>()
  readonly #rules: Readonly<
    Record<StorageRule, (record: AcceptedRecord, deadline: number) => Promise<Outcome>>
  >
  #wasMarked = true
  #tidied = 0
  #reading: string | undefined
  #isClosing = false
  #secondSurvey: NodeJS.Timeout | undefined

  constructor({ root, minFreeBytes, mostOpen = 1_000, log, observer }: FileStoreOptions) {
    this.#root = root
    this.#log = log
    this.#observer = observer
    this.#mostOpen = mostOpen
    this.#health = new Health(root, minFreeBytes)
    this.#isMarked = markCheck(root)
    const overwrite = new OverwriteRule(root, (of) => namedLog(log, of), observer)
    this.#overwrite = overwrite
    this.#rules = {
      'append-only': (record, deadline) => this.#append(record, deadline),
      'overwrite-by-placekey': (record, deadline) => overwrite.put(record, deadline),
    }
  }

  async put(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    try {
      if (!this.#isInPlace()) return { ok: false, fault: 'io' }
      if (!this.#health.hasRoom()) return { ok: false, fault: 'full' }
      const outcome = await this.#rules[record.storage](record, deadline)
      if (outcome.ok) this.#health.stored(nameOf(record))
      else if (outcome.fault === 'io') await this.#health.failed(nameOf(record))
      return outcome
    } catch (error) {
      this.#log.error({ code: codeOf(error) }, 'storing failed')
      return { ok: false, fault: 'io' }
    }
  }

  async readiness(): Promise<Readiness> {
    return {
      reasons: this.#isInPlace() ? await this.#health.reasons() : [anotherDirectory],
      refused: [...this.#refused].sort(),
      locked: [...this.#logs].filter(([, log]) => log.isLockMissing).map(([name]) => name),
      reading: this.#reading === undefined ? [] : [this.#reading],
    }
  }

  /** Repairs what killed processes left, then reads long records files, so that no sender waits for the reading. */
  async start(): Promise<void> {
    this.#secondSurvey = setTimeout(() => {
      this.#putInOrder().catch((error) =>
        this.#log.error({ code: codeOf(error) }, 'leftovers could not be put in order'),
      )
    }, secondSurveyMs).unref()
    await this.#preload(await this.#putInOrder())
  }

  async close(): Promise<void> {
    this.#isClosing = true
    clearTimeout(this.#secondSurvey)
    await Promise.all([this.#overwrite.drain(), ...[...this.#logs.values()].map((log) => log.close())])
  }

  /** Checked before anything is written: records written below an empty mountpoint are hidden when the disk is mounted again. */
  #isInPlace(): boolean {
    const isNow = this.#isMarked()
    if (!isNow && this.#wasMarked) this.#log.fatal({}, `${anotherDirectory.text}; nothing is stored`)
    if (isNow && !this.#wasMarked) this.#log.info({}, 'the data directory bears its mark again')
    this.#wasMarked = isNow
    return isNow
  }

  #logOf(of: RecordPath): AppendLog {
    const name = nameOf(of)
    const known =
      this.#logs.get(name) ??
      new AppendLog(associationDirectories(this.#root, of), namedLog(this.#log, of), this.#observer)
    this.#logs.delete(name)
    this.#logs.set(name, known)
    return known
  }

  async #append(record: AcceptedRecord, deadline: number): Promise<Outcome> {
    const log = this.#logOf(record)
    const outcome = await log.put(record, deadline)
    this.#noteDamage(record, log)
    this.#keepOpen(log)
    this.#tidy()
    return outcome
  }

  #noteDamage(of: RecordPath, log: AppendLog): void {
    if (log.isDamaged) this.#refused.add(nameOf(of))
    else this.#refused.delete(nameOf(of))
  }

  /** Closes the files of the logs that were used longest ago. A log with work closes its files after the work. */
  #keepOpen(used: AppendLog): void {
    this.#open.delete(used)
    this.#open.add(used)
    for (const log of this.#open) {
      if (this.#open.size <= this.#mostOpen) return
      this.#open.delete(log)
      log.close().catch(() => {})
    }
  }

  /** Forgets the logs that were used longest ago, when too many ids or logs are in memory. */
  #tidy(): void {
    const now = performance.now()
    if (now - this.#tidied < tidyMs) return
    this.#tidied = now
    const logs = this.#logs
    let records = 0
    for (const log of logs.values()) records += log.count
    for (const [name, log] of logs) {
      if (records <= mostKnownRecords && logs.size <= mostLogs) return
      if (!log.isIdle) continue
      log.close().catch(() => {})
      this.#open.delete(log)
      logs.delete(name)
      records -= log.count
    }
  }

  /** Repairs, and gives the append-only associations that were found. */
  async #putInOrder(): Promise<FoundAssociation[]> {
    for (const addon of contracts.keys()) await this.#health.look(addon)
    const appendOnly: FoundAssociation[] = []
    for await (const found of survey(this.#root, this.#log)) {
      await this.#health.look(nameOf(found))
      if (!found.isAppendOnly) continue
      if (found.needsRecovery) {
        const log = this.#logOf(found)
        await log.recover(performance.now() + recoverMs)
        this.#noteDamage(found, log)
      }
      appendOnly.push(found)
    }
    return appendOnly
  }

  /** Reads the largest files first, and of equal ones the one that was written last, until the memory for ids is full. */
  async #preload(found: readonly FoundAssociation[]): Promise<void> {
    const long = found.filter(({ size }) => size >= leastPreloaded)
    let records = 0
    for (const association of long.sort((a, b) => b.size - a.size || b.writtenMs - a.writtenMs)) {
      if (this.#isClosing || records > mostKnownRecords / 2) break
      records += await this.#preloadOne(association)
    }
    this.#reading = undefined
  }

  async #preloadOne(of: FoundAssociation): Promise<number> {
    this.#reading = nameOf(of)
    const log = this.#logOf(of)
    const began = performance.now()
    try {
      await log.preload()
      const ms = Math.round(performance.now() - began)
      namedLog(this.#log, of).info({ records: log.count, bytes: of.size, ms }, 'a long records file was read')
    } catch (error) {
      namedLog(this.#log, of).error({ code: codeOf(error) }, 'a records file could not be read')
      await this.#health.failed(nameOf(of))
    }
    return log.count
  }
}

function namedLog(log: Log, { addon, association_slug }: RecordPath): Log {
  const named = (level: keyof Log) => (fields: object, message: string) =>
    log[level]({ addon, association: association_slug, ...fields }, message)
  return { info: named('info'), warn: named('warn'), error: named('error'), fatal: named('fatal') }
}
