/**
 * A backup of a data directory while a receiver runs on it.
 *
 * Invariants
 *   1. A run continues a backup only after it has verified the manifest by its signature and each list by its hash in the manifest.
 *      A backup that does not verify is left alone and reported, and a whole new backup is made beside it.
 *   2. A run signs a hash only if this run has read and verified the bytes, or an earlier run has signed the hash. A hash is never
 *      computed from a copy in the backup, so a copy that somebody altered cannot become signed. Such copies are found (see below).
 *   3. The manifest is replaced in one step, after everything that it names is on disk, and is never removed. If a run is killed
 *      before that, the old manifest stands, and so does everything that the old manifest names.
 *   4. Every record that was acknowledged before `complete_until` is in the backup, except for the associations in `not_held`.
 *   5. A record that is altered or missing in the data directory stays in the backup: the good copy is kept, and reported.
 *   6. Of a file that is replaced, only the last state is kept. An earlier state is removed as soon as no manifest names it.
 *
 * Which copies a run reads. Reading 4 GB of copies in every run would find every altered byte at once, but then nobody could run it
 * every minute. So a run reads the new records, the piece that is still growing, every copy whose stamp is not the signed one (a
 * program has touched it), and the next slice of all other copies (the disk may have altered it, see `scrub.ts`). A byte that the
 * disk altered is found within 30 days, or after one run for each 64 MiB; `--full` reads everything. Until then the byte does no
 * harm, because the data directory still has the good one, from which the copy is repaired. If the machine is lost before, a restore
 * refuses and names the copy.
 */

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { promisify } from 'node:util'
import { contracts } from '../../contracts/index.ts'
import { CannotRun } from '../cli/io.ts'
import { ownerOnly } from '../records/layout.ts'
import { changeNames } from '../storage/files/durable-file.ts'
import { acquire, type Lock, staleMs } from '../storage/files/lock.ts'
import { holdsRecords, readMark } from '../storage/files/mark.ts'
import { copyAssociations } from './associations.ts'
import { ownDirectory, removeUnfinished, type Standing, standingDirectory, standingIn } from './directory.ts'
import { type BackupFinding, BackupFindings, isIncomplete } from './findings.ts'
import {
  backupLockName,
  backupName,
  directoryOf,
  manifestName,
  unfinishedName,
  writingName,
} from './layout.ts'
import { NotTheList, verifyList } from './list.ts'
import { isSigned, type Manifest, readManifest, replaceManifest } from './manifest.ts'
import { type BackupRun, requireHeld, turns } from './run.ts'
import { Scrub } from './scrub.ts'
import { publicPartOf } from './signature.ts'
import { copyStamps } from './stamps.ts'
import { sweep } from './sweep.ts'

export type BackupOptions = {
  readonly data: string
  readonly directory: string
  /** The directory that holds the time stamps of heads. */
  readonly stamps: string | undefined
  /** The private key; undefined: not signed. */
  readonly key: string | undefined
  /** Files that are gone from the data directory are removed from the backup, too. */
  readonly forgetMissing: boolean
  /** Every copy is read and compared. */
  readonly full: boolean
  readonly onProgress: (done: number, total: number | undefined, what: string) => void
}

export type BackedUp = {
  /** The directory of the backup. */
  readonly path: string
  readonly manifest: Manifest
  readonly findings: readonly BackupFinding[]
  /** Other backups in the directory, which this program does not touch. */
  readonly others: readonly string[]
  readonly bytesWritten: number
  readonly bytesChecked: number
}

/** A second backup into the same directory waits this long. In this time the lock of a killed run becomes free. */
const lockMs = staleMs + 2_000
const execute = promisify(execFile)

export async function backup(options: BackupOptions): Promise<BackedUp> {
  const { data, directory } = options
  if (!existsSync(join(data, '.'))) throw new CannotRun(`there is no ${data}`)
  if (readMark(data) === undefined && !holdsRecords(data, contracts.keys()))
    throw new CannotRun(
      `${data} holds neither records nor the mark of a data directory: is its disk mounted?`,
    )
  mkdirSync(dirname(resolve(directory)), { recursive: true })
  if (`${realpathOf(directory)}${sep}`.startsWith(`${realpathSync(data)}${sep}`))
    throw new CannotRun('a backup inside the data directory would be lost with it')
  ownDirectory(directory)
  standingIn(directory)
  const lock = await acquire(
    join(directory, manifestName),
    join(directory, backupLockName),
    performance.now() + lockMs,
  )
  if (!lock) throw new CannotRun('another backup into this directory is under way')
  try {
    return await under(lock, options)
  } finally {
    await lock.release()
  }
}

/** The real path of a directory, also of one that does not exist yet. */
function realpathOf(directory: string): string {
  if (existsSync(directory)) return realpathSync(directory)
  return join(realpathSync(dirname(resolve(directory))), basename(directory))
}

async function under(lock: Lock, options: BackupOptions): Promise<BackedUp> {
  const { data, directory, key, full, forgetMissing, onProgress } = options
  const now = new Date()
  const findings = new BackupFindings()
  await removeUnfinished(directory)
  const base = baseIn(directory, standingIn(directory), key, now, findings)
  ownDirectory(base.path)
  const wasKilled = mark(base.path)
  const counts = { written: 0, checked: 0 }
  const isTrusted = key !== undefined && !full
  const run: BackupRun = {
    data,
    backup: base.path,
    now,
    trustsStamps: isTrusted,
    forgetMissing,
    findings,
    counts,
    scrub: new Scrub(isTrusted ? lastOf(base.manifest, now) : undefined, now),
    turn: turns(lock.held, (done, what) => onProgress(done, undefined, `${done} copies, ${what}`)),
  }
  const before = base.manifest?.associations ?? []
  const { entries, changed } = await copyAssociations(run, before)
  if (options.stamps !== undefined) copyStamps(options.stamps, directory, findings)
  const manifest = manifestOf(run, entries)
  requireHeld(lock.held)
  // This is asynchronous, because a disk may take longer than a lock lasts that is not renewed.
  await execute('sync', ['-f', base.path])
  // Another process may have taken the lock over while this one was stopped for a long time.
  requireHeld(lock.held)
  await replaceManifest(base.path, manifest, key)
  const path = join(directory, base.name)
  if (base.path !== path) await changeNames(directory, () => renameSync(base.path, path))
  await sweep(path, manifest.associations, wasKilled ? undefined : changed, run.turn)
  rmSync(join(path, writingName), { force: true })
  const others = standingIn(directory).backups.filter((name) => name !== base.name)
  const all = { findings: findings.all, others, bytesWritten: counts.written, bytesChecked: counts.checked }
  return { path, manifest, ...all }
}

type Base = { readonly name: string; readonly path: string; readonly manifest: Manifest | undefined }

/**
 * The newest backup, to be continued, if it verifies. Otherwise a new one, which is named `.unfinished` until it has a
 * manifest.
 */
function baseIn(
  directory: string,
  { backups, hasVersionOne }: Standing,
  key: string | undefined,
  now: Date,
  findings: BackupFindings,
): Base {
  const newest = backups.at(-1)
  const fresh = (): Base => {
    const name = backupName(now, newest)
    return { name, path: join(directory, unfinishedName(name)), manifest: undefined }
  }
  const beside = 'it is left alone, and a whole new backup goes beside it: find out why, then move it away'
  if (hasVersionOne) {
    const what = `beside lies a backup by version 1.0, which only that version restores; remove it when this one is on disk`
    if (newest === undefined) findings.tell('', 'beside', what)
  }
  if (newest === undefined) return fresh()
  const path = join(directory, newest)
  const found = verified(path, key)
  if (typeof found !== 'string') return { name: newest, path, manifest: found }
  findings.tell('', 'beside', `${newest} ${found}; ${beside}`)
  return fresh()
}

/** The manifest of a backup, after its signature and the hash of every list were compared; or why the backup does not verify. */
function verified(path: string, key: string | undefined): Manifest | string {
  ownDirectory(path)
  const manifest = readManifest(path, key === undefined ? undefined : publicPartOf(key))
  if (typeof manifest === 'string') return manifest
  if (key === undefined && isSigned(path)) return 'is signed, and this run is to sign nothing'
  try {
    for (const addon of new Set(manifest.associations.map((entry) => entry.addon)))
      standingDirectory(join(path, addon))
    for (const entry of manifest.associations) {
      standingDirectory(directoryOf(path, entry))
      verifyList(directoryOf(path, entry), entry.list)
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof NotTheList || code === 'ENOENT' || code === 'EIO' || code === 'ELOOP')
      return 'does not verify: a list of it is damaged or gone'
    throw error
  }
  return manifest
}

function lastOf(manifest: Manifest | undefined, now: Date) {
  const weight = (manifest?.associations ?? []).reduce((sum, each) => sum + each.weight, 0)
  const { scrubbed_to, made_at } = manifest ?? { scrubbed_to: '', made_at: now.toISOString() }
  return { scrubbed_to, made_at, weight }
}

function manifestOf({ now, scrub, findings }: BackupRun, associations: Manifest['associations']): Manifest {
  const at = now.toISOString()
  return {
    format: 'civic-orchestrator-backup',
    version: 2,
    made_at: at,
    complete_until: at,
    scrubbed_to: scrub.next,
    associations,
    not_held: findings.all
      .filter((each) => isIncomplete(each) || each.kind === 'left-out')
      // the manifest gets no paths, because paths hold names of participants, which stay in the lists
      .map(({ paths: _, ...each }) => each),
  }
}

/** Marks the backup as being written, and tells whether an earlier run was killed and left its mark. */
function mark(path: string): boolean {
  const file = join(path, writingName)
  const wasKilled = readdirSync(path).includes(writingName)
  if (!wasKilled) writeFileSync(file, '', { flag: 'wx', mode: ownerOnly })
  return wasKilled
}
