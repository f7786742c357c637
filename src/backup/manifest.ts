/**
 * `manifest-<time>.json`: what a backup holds, and the hash of every byte of it. It is written last, in one step, and signed;
 * the newest one counts, and what it does not name does not. So a backup that was interrupted is the backup before it.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isSlug } from '../audit/options.ts'

/** A records file up to its last record: the bytes before the closing, which never change. */
export type RecordsEntry = {
  readonly addon: string
  readonly association_slug: string
  readonly records: number
  /** How many bytes, and their SHA-256. */
  readonly bytes: number
  readonly sha256: string
  /** SHA-256 of the last line, to which the next record is chained. */
  readonly last_sha256: string
}

/** Any other file, by its path below the data directory; its content is `objects/<xx>/<sha256>`. */
export type FileEntry = { readonly path: string; readonly bytes: number; readonly sha256: string }

export type Manifest = {
  readonly format: 'civic-orchestrator-backup'
  readonly version: 1
  /** Whatever was acknowledged before this moment is in the backup. */
  readonly complete_until: string
  readonly append_only: readonly RecordsEntry[]
  readonly files: readonly FileEntry[]
}

export function manifestName(now: Date): string {
  return `manifest-${now.toISOString().replace(/[-:.]/g, '')}.json`
}

const manifestPattern = /^manifest-\d{8}T\d{9}Z\.json$/

/** A manifest, its signature, or what is left of one that was not finished. */
export function isOfManifest(name: string): boolean {
  return manifestPattern.test(
    name
      .replace(/^\./, '')
      .replace(/\.new(?=$|\.)/, '')
      .replace(/\.sig$/, ''),
  )
}

/** Its path; undefined when there is none. */
export function newestManifest(directory: string): string | undefined {
  const name = readdirSync(directory)
    .filter((found) => manifestPattern.test(found))
    .sort()
    .at(-1)
  return name && join(directory, name)
}

export const emptyManifest: Manifest = {
  format: 'civic-orchestrator-backup',
  version: 1,
  complete_until: '',
  append_only: [],
  files: [],
}

export function manifestText(manifest: Manifest): string {
  const lines = (entries: readonly object[]): string =>
    entries.map((entry) => `\n    ${JSON.stringify(entry)}`).join(',')
  const { format, version, complete_until, append_only, files } = manifest
  const head = JSON.stringify({ format, version, complete_until }, null, 2).slice(0, -2)
  return `${head},\n  "append_only": [${lines(append_only)}],\n  "files": [${lines(files)}]\n}\n`
}

/** Undefined when it is not a manifest, or one that names a path which no backup has. */
export function parseManifest(text: string): Manifest | undefined {
  try {
    const found = JSON.parse(text) as Manifest
    if (found.format !== emptyManifest.format || found.version !== emptyManifest.version) return undefined
    const fit =
      Number.isFinite(Date.parse(found.complete_until)) &&
      found.append_only.every(isRecordsEntry) &&
      found.files.every(isFileEntry)
    return fit ? found : undefined
  } catch {
    return undefined
  }
}

const hex64 = /^[0-9a-f]{64}$/
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

function isRecordsEntry({
  addon,
  association_slug,
  records,
  bytes,
  sha256,
  last_sha256,
}: RecordsEntry): boolean {
  const named = isSlug(addon) && isSlug(association_slug)
  return named && isCount(records) && isCount(bytes) && hex64.test(sha256) && hex64.test(last_sha256)
}

/** Three plain names, and nothing that could leave the directory. */
const filePath = /^[a-z0-9][a-z0-9_-]*\/[a-z0-9][a-z0-9_-]*\/[A-Za-z0-9@_][A-Za-z0-9@_.-]*$/

function isFileEntry({ path, bytes, sha256 }: FileEntry): boolean {
  return filePath.test(path) && isCount(bytes) && hex64.test(sha256)
}

export function nameOf({
  addon,
  association_slug,
}: Pick<RecordsEntry, 'addon' | 'association_slug'>): string {
  return `${addon}/${association_slug}`
}

/** Without the participant, for whoever reads the output. */
export function associationOf({ path }: FileEntry): string {
  return path.split('/').slice(0, 2).join('/')
}

export function objectPath(sha256: string): string {
  return `objects/${sha256.slice(0, 2)}/${sha256}`
}
