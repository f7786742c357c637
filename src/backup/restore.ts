/**
 * A data directory from a backup, on a host that has none.
 *
 * Invariants
 *   1. Nothing that is there is overwritten: the directory is empty, or it is not there.
 *   2. Every byte was compared with the manifest's hash, and every chain followed to the end, before anything has the name
 *      under which a receiver looks for it. Interrupted before, the directory holds `.restoring` and no records.
 */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CannotRun } from '../audit/io.ts'
import { fileMode, writeAllSync } from '../storage/durable-file.ts'
import { headOf, headText } from '../storage/head-file.ts'
import { headName } from '../storage/paths.ts'
import { closing, emptyPosition, follow } from '../storage/records-file.ts'
import { chunks } from './copy-records.ts'
import {
  type FileEntry,
  type Manifest,
  nameOf,
  newestManifest,
  objectPath,
  parseManifest,
  type RecordsEntry,
} from './manifest.ts'
import { verdictOn } from './signature.ts'
import { recordsFile } from './source.ts'

export type RestoreOptions = {
  readonly backup: string
  /** Where the data go; undefined: they are only checked. */
  readonly target: string | undefined
  /** The public key that the backup must be signed with; undefined: signatures are not looked at. */
  readonly publicKey: string | undefined
  readonly onProgress: (done: number, total: number | undefined, what: string) => void
}

export type Restored = { readonly manifest: Manifest; readonly warnings: readonly string[] }

/** The backup is not what it should be; nothing was restored. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

const directoryMode = 0o2750
const restoring = '.restoring'
/** May be in a directory that counts as empty. */
const noData = new Set(['.paused', 'lost+found', restoring])

export async function restore(options: RestoreOptions): Promise<Restored> {
  const { backup, target, publicKey, onProgress } = options
  const manifest = manifestOf(backup, publicKey)
  if (target === undefined) {
    await eachEntry(manifest, backup, undefined, onProgress)
    return { manifest, warnings: [] }
  }
  const owner = prepare(target)
  const work = join(target, restoring)
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work)
  try {
    await eachEntry(manifest, backup, work, onProgress)
    const warnings = giveAway(work, owner)
    execFileSync('sync', ['-f', work])
    putInPlace(work, target)
    execFileSync('sync', ['-f', target])
    return { manifest, warnings }
  } catch (error) {
    rmSync(work, { recursive: true, force: true })
    throw error
  }
}

function manifestOf(backup: string, publicKey: string | undefined): Manifest {
  if (!existsSync(backup)) throw new CannotRun(`there is no ${backup}`)
  const path = newestManifest(backup)
  if (!path)
    throw new Refused(`${backup} holds no manifest: it is not a backup, or its first one was not finished`)
  const bytes = readFileSync(path)
  if (publicKey !== undefined) {
    const verdict = verdictOn(path, bytes, publicKey, 'civic-orchestrator-backup')
    if (verdict === 'missing') throw new Refused(`${path} is not signed`)
    if (verdict === 'foreign')
      throw new Refused(
        `${path} was altered after it was signed, or is signed with another key than ${publicKey}`,
      )
  }
  const manifest = parseManifest(bytes.toString())
  if (!manifest) throw new Refused(`${path} is not a manifest that this program knows`)
  return manifest
}

/** Who owns the directory will own what is in it. */
function prepare(target: string): { readonly uid: number; readonly gid: number } {
  if (!existsSync(target)) {
    mkdirSync(target, { recursive: true })
    chmodSync(target, directoryMode)
  }
  const others = readdirSync(target).filter((name) => !noData.has(name))
  if (others.length > 0)
    throw new CannotRun(
      `${target} is not empty, and nothing is ever overwritten: move what is in it away first`,
    )
  return statSync(target)
}

async function eachEntry(
  { append_only, files }: Manifest,
  backup: string,
  work: string | undefined,
  onProgress: RestoreOptions['onProgress'],
): Promise<void> {
  const total = [...append_only, ...files].reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  const show = (entry: { bytes: number }): void => {
    done += entry.bytes
    onProgress(done, total, `${Math.round(done / 1e6)} of ${Math.round(total / 1e6)} MB`)
  }
  for (const entry of append_only) {
    await takeRecords(entry, backup, work)
    show(entry)
  }
  for (const entry of files) {
    await takeFile(entry, backup, work)
    show(entry)
  }
}

async function takeRecords(entry: RecordsEntry, backup: string, work: string | undefined): Promise<void> {
  const path = recordsFile(join(backup, 'records'), entry)
  const file = await open(path, 'r').catch(() => {
    throw new Refused(`${path} is missing`)
  })
  try {
    const hash = createHash('sha256')
    const copy = work === undefined ? undefined : await create(recordsFile(work, entry))
    try {
      let at = 0
      for await (const chunk of chunks(file, 0, entry.bytes)) {
        hash.update(chunk)
        if (copy) writeAllSync(copy.fd, chunk, at)
        at += chunk.length
      }
      if (copy) writeAllSync(copy.fd, Buffer.from(closing), at)
    } finally {
      await copy?.close()
    }
    if (hash.digest('hex') !== entry.sha256) throw new Refused(`${path} is damaged`)
    const position = await follow(file, emptyPosition, entry.bytes, () => {})
    const isTheEnd = position.end === entry.bytes && position.sha256 === entry.last_sha256
    if (!isTheEnd || position.count !== entry.records)
      throw new Refused(`${path}: the chain breaks after record ${position.count}`)
    if (work === undefined) return
    const head = await create(join(dirname(recordsFile(work, entry)), headName))
    writeAllSync(head.fd, Buffer.from(headText(headOf(position))), 0)
    await head.close()
  } finally {
    await file.close()
  }
}

async function takeFile(
  { path, bytes, sha256 }: FileEntry,
  backup: string,
  work: string | undefined,
): Promise<void> {
  const object = join(backup, objectPath(sha256))
  let content: Buffer
  try {
    content = readFileSync(object)
  } catch {
    throw new Refused(`${object} is missing`)
  }
  const isSame = content.length === bytes && createHash('sha256').update(content).digest('hex') === sha256
  if (!isSame) throw new Refused(`${object} is damaged`)
  if (work === undefined) return
  const copy = await create(join(work, path))
  writeAllSync(copy.fd, content, 0)
  await copy.close()
}

async function create(path: string) {
  mkdirSync(dirname(path), { recursive: true })
  return open(path, 'wx', fileMode)
}

/** Modes as the receiver makes them, whatever the umask; and the owner, where this process may give files away. */
function giveAway(work: string, { uid, gid }: { uid: number; gid: number }): string[] {
  const mine = process.getuid?.()
  const give = (path: string, mode: number): void => {
    if (mine === 0) chownSync(path, uid, gid)
    chmodSync(path, mode)
  }
  for (const entry of readdirSync(work, { recursive: true, withFileTypes: true })) {
    give(join(entry.parentPath, entry.name), entry.isDirectory() ? directoryMode : fileMode)
  }
  if (mine === 0 || mine === uid) return []
  return ['the files belong to whoever ran this: as root they would belong to the owner of the directory']
}

function putInPlace(work: string, target: string): void {
  for (const name of readdirSync(work)) {
    try {
      // fails when the name is taken by a directory that is not empty: a receiver was faster
      renameSync(join(work, name), join(target, name))
    } catch (error) {
      throw new CannotRun(
        `${join(target, name)} has appeared meanwhile (${(error as NodeJS.ErrnoException).code}): stop the receiver, and restore into an empty directory`,
      )
    }
  }
  rmdirSync(work)
}

export function associationsIn({ append_only, files }: Manifest): { association: string; records: number }[] {
  const counts = new Map<string, number>()
  for (const entry of append_only) counts.set(nameOf(entry), entry.records)
  for (const { path } of files) {
    const [addon, slug, name] = path.split('/') as [string, string, string]
    const association = `${addon}/${slug}`
    counts.set(association, (counts.get(association) ?? 0) + (name.endsWith('.json') ? 1 : 0))
  }
  return [...counts]
    .map(([association, records]) => ({ association, records }))
    .sort((a, b) => (a.association < b.association ? -1 : 1))
}
