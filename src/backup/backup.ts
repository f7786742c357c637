/**
 * A backup of a data directory while a receiver runs on it.
 *
 * Invariants
 *   1. The manifest is replaced in one step, after everything that it names is on disk. Interrupted before, the old one
 *      stands, and so does all that it names.
 *   2. Whatever was acknowledged before `complete_until` is in it.
 *   3. Bytes of append-only records are written once. Of files that are replaced only the last state is kept: earlier ones
 *      are removed as soon as no manifest names them.
 *   4. What is missing or altered in the data directory does not go missing in the backup: the old copy stays, and is named.
 */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, sep } from 'node:path'
import { CannotRun } from '../audit/io.ts'
import { acquire } from '../storage/lock.ts'
import { copyFiles, type Seen } from './copy-files.ts'
import { type Copied, copyRecords } from './copy-records.ts'
import {
  associationOf,
  emptyManifest,
  type FileEntry,
  isOfManifest,
  type Manifest,
  manifestName,
  manifestText,
  nameOf,
  newestManifest,
  objectPath,
  parseManifest,
  type RecordsEntry,
} from './manifest.ts'
import { sign } from './signature.ts'
import { type Place, places } from './source.ts'

export type BackupOptions = {
  readonly data: string
  readonly directory: string
  /** The private key; undefined: not signed. */
  readonly key: string | undefined
  /** Files that are gone from the data directory go from the backup, too. */
  readonly forgetMissing: boolean
  readonly onProgress: (done: number, total: number | undefined, what: string) => void
}

type Finding = { readonly association: string; readonly what: string }

export type BackedUp = {
  readonly manifest: Manifest
  readonly findings: readonly Finding[]
  readonly bytesWritten: number
}

/** A second backup into the same directory waits this long. */
const lockMs = 2_000

export async function backup(options: BackupOptions): Promise<BackedUp> {
  const { data, directory, key } = options
  if (!existsSync(data)) throw new CannotRun(`there is no ${data}`)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  if (`${realpathSync(directory)}${sep}`.startsWith(`${realpathSync(data)}${sep}`))
    throw new CannotRun('a backup inside the data directory would be lost with it')
  previousIn(directory)
  const lock = await acquire(
    join(directory, '.manifest'),
    join(directory, '.lock'),
    performance.now() + lockMs,
  )
  if (!lock) throw new CannotRun('another backup into this directory is under way')
  try {
    const { manifest, findings, bytesWritten } = await copyAll(options, previousIn(directory))
    // another process may have taken over while this one was stopped for a long time
    if (!lock.held()) throw new CannotRun('another backup into this directory has begun; this one ends')
    replaceManifest(directory, manifest, key)
    removeUnnamed(directory, manifest)
    return { manifest, findings, bytesWritten }
  } finally {
    await lock.release()
  }
}

function previousIn(directory: string): Manifest {
  const path = newestManifest(directory)
  if (path === undefined) {
    // what a first backup that was interrupted may have left
    const others = readdirSync(directory).filter((name) => !/^(\.|objects$|records$|lost\+found$)/.test(name))
    if (others.length === 0) return emptyManifest
    throw new CannotRun(`${directory} is neither empty nor a backup`)
  }
  const manifest = parseManifest(readFileSync(path, 'utf8'))
  if (!manifest) throw new CannotRun(`${path} is not a manifest of this program: use another directory`)
  return manifest
}

async function copyAll(
  { data, directory, forgetMissing, onProgress }: BackupOptions,
  before: Manifest,
): Promise<BackedUp> {
  const seen: Seen = new Map()
  let bytesWritten = 0
  const onFile = (done: number): void => onProgress(done, before.files.length || undefined, `${done} files`)
  // what takes long; then once more what has changed meanwhile, so that little is left between the moment and the end
  const first = await copyAllRecords(
    data,
    directory,
    before.append_only.map((entry) => ({ entry })),
  )
  bytesWritten += first.written + (await copyFiles(data, directory, seen, onFile)).written
  const completeUntil = new Date().toISOString()
  const second = await copyAllRecords(data, directory, first.all)
  const files = await copyFiles(data, directory, seen, onFile)
  bytesWritten += second.written + files.written
  const missing = forgetMissing ? [] : missingFrom(files.entries, before.files)
  return {
    manifest: {
      ...emptyManifest,
      complete_until: completeUntil,
      append_only: second.all.map(({ entry }) => entry),
      files: [...files.entries, ...missing].sort((a, b) => (a.path < b.path ? -1 : 1)),
    },
    findings: [...second.findings, ...findingsOf(missing)],
    bytesWritten,
  }
}

async function copyAllRecords(
  data: string,
  directory: string,
  before: readonly Copied[],
): Promise<{ all: Copied[]; findings: Finding[]; written: number }> {
  const all: Copied[] = []
  const findings: Finding[] = []
  let written = 0
  const known = new Map(before.map((copied) => [nameOf(copied.entry), copied]))
  const here = places(data, 'append-only').map((place) => [nameOf(place), place] as const)
  const gone = before.map(({ entry }) => [nameOf(entry), placeOf(entry)] as const)
  for (const [association, place] of new Map([...gone, ...here])) {
    const result = await copyRecords(data, join(directory, 'records'), place, known.get(association))
    if (result.copied) all.push(result.copied)
    if (result.finding) findings.push({ association, what: result.finding })
    written += result.written
  }
  return { all: all.sort((a, b) => (nameOf(a.entry) < nameOf(b.entry) ? -1 : 1)), findings, written }
}

function placeOf({ addon, association_slug }: RecordsEntry): Place {
  return { addon, association_slug }
}

function missingFrom(entries: readonly FileEntry[], before: readonly FileEntry[]): FileEntry[] {
  const here = new Set(entries.map(({ path }) => path))
  return before.filter(({ path }) => !here.has(path))
}

function findingsOf(missing: readonly FileEntry[]): Finding[] {
  const counts = new Map<string, number>()
  for (const entry of missing) counts.set(associationOf(entry), (counts.get(associationOf(entry)) ?? 0) + 1)
  return [...counts].map(([association, count]) => ({
    association,
    what: `${count} files are no longer in the data directory; the backup keeps them (--forget-missing removes them)`,
  }))
}

/** The signature first: from the moment when a manifest has its name, it is whole and signed. Then the older ones go. */
function replaceManifest(directory: string, manifest: Manifest, key: string | undefined): void {
  const name = manifestName(new Date())
  const fresh = join(directory, `.${name}.new`)
  writeFileSync(fresh, manifestText(manifest), { mode: 0o600 })
  if (key !== undefined) {
    try {
      sign(fresh, key, 'civic-orchestrator-backup')
    } catch (error) {
      throw new CannotRun(`the backup could not be signed: ${(error as Error).message}`)
    }
    renameSync(`${fresh}.sig`, join(directory, `${name}.sig`))
  }
  execFileSync('sync', ['-f', directory])
  renameSync(fresh, join(directory, name))
  execFileSync('sync', ['-f', directory])
  for (const other of readdirSync(directory)) {
    if (isOfManifest(other) && !other.startsWith(name)) rmSync(join(directory, other))
  }
}

function removeUnnamed(directory: string, { files }: Manifest): void {
  const named = new Set(files.map(({ sha256 }) => objectPath(sha256)))
  const objects = join(directory, 'objects')
  for (const shard of existsSync(objects) ? readdirSync(objects) : []) {
    for (const name of readdirSync(join(objects, shard))) {
      if (!named.has(`objects/${shard}/${name}`)) rmSync(join(objects, shard, name))
    }
  }
}
