/**
 * The file `manifest` says what a backup holds and what it does not, and has the hash of every list. An SSH signature follows
 * in the same file, so that both are replaced in one step.
 *
 * The signature is over the bytes before the line `-----BEGIN SSH SIGNATURE-----`, so ssh-keygen alone can check it.
 */

import { join } from 'node:path'
import { CannotRun } from '../cli/io.ts'
import { ownerOnly, type RecordPath } from '../records/layout.ts'
import { isHash } from '../records/line.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import { writeSmallFile } from '../storage/files/small-file.ts'
import type { BackupFinding } from './findings.ts'
import { manifestName } from './layout.ts'
import { isCount } from './list.ts'
import { isPlace } from './names.ts'
import { signatureOf, verdictOn } from './signature.ts'

export type AssociationEntry = RecordPath & {
  /** The hash of the association's list, which is also in the name of the list. */
  readonly list: string
  /** How many append-only records the newest line of copies holds, or how many files of one record there are. */
  readonly records: number
  /** How many records each earlier line of copies holds. */
  readonly earlier: readonly number[]
  /** How many copies there are, and what reading them costs (`scrub.ts`). */
  readonly copies: number
  readonly weight: number
  /** Every record of this association that was acknowledged before this moment is in the backup. */
  readonly complete_until: string
}

export type Manifest = {
  readonly format: 'civic-orchestrator-backup'
  readonly version: 2
  readonly made_at: string
  /** The same for every association that has no earlier time of its own. */
  readonly complete_until: string
  readonly scrubbed_to: string
  readonly associations: readonly AssociationEntry[]
  readonly not_held: readonly BackupFinding[]
}

const signatureBegins = '-----BEGIN SSH SIGNATURE-----'
/** A longer manifest is refused. The manifest of 20,000 associations has 8 MB. */
const longestManifest = 512 * 1024 * 1024

function manifestText(manifest: Manifest): string {
  const { associations, not_held, ...head } = manifest
  const lines = (entries: readonly object[]): string =>
    entries.map((entry) => `\n    ${JSON.stringify(entry)}`).join(',')
  const opening = JSON.stringify(head, null, 2).slice(0, -2)
  return `${opening},\n  "associations": [${lines(associations)}],\n  "not_held": [${lines(not_held)}]\n}\n`
}

/** Signs a new manifest and puts it in the place of the old one. */
export async function replaceManifest(
  backup: string,
  manifest: Manifest,
  key: string | undefined,
): Promise<void> {
  const text = manifestText(manifest)
  const signed = key === undefined ? text : text + signatureOver(text, key)
  await writeSmallFile(join(backup, manifestName), signed, { mode: ownerOnly })
}

function signatureOver(text: string, key: string): string {
  try {
    return signatureOf(Buffer.from(text), key, 'civic-orchestrator-backup')
  } catch (error) {
    throw new CannotRun(`the backup could not be signed: ${(error as Error).message}`)
  }
}

/** The manifest of a backup; or why the backup does not verify, in words to follow its path. Throws `CannotCheck`. */
export function readManifest(backup: string, publicKey: string | undefined): Manifest | string {
  let text: string
  try {
    text = readRegularSync(join(backup, manifestName), longestManifest).toString()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return 'holds no manifest'
    if (code === 'EACCES' || code === 'EPERM') throw new CannotRun(message)
    return `has a manifest that cannot be read (${code})`
  }
  const begins = text.indexOf(signatureBegins)
  const signed = begins === -1 ? text : text.slice(0, begins)
  if (publicKey !== undefined) {
    if (begins === -1) return 'is not signed'
    const verdict = verdictOn(Buffer.from(signed), text.slice(begins), publicKey, 'civic-orchestrator-backup')
    if (verdict === 'foreign') return 'was altered after it was signed, or is signed with another key'
  }
  return parseManifest(signed) ?? 'has a manifest that this program does not know'
}

export function isSigned(backup: string): boolean {
  return readRegularSync(join(backup, manifestName), longestManifest).includes(signatureBegins)
}

function parseManifest(text: string): Manifest | undefined {
  try {
    const found = JSON.parse(text) as Manifest
    if (found.format !== 'civic-orchestrator-backup' || found.version !== 2) return undefined
    const times = [found.made_at, found.complete_until].every(isTime)
    const fit = times && typeof found.scrubbed_to === 'string' && found.associations.every(isEntry)
    return fit && found.not_held.every(isFinding) ? found : undefined
  } catch {
    return undefined
  }
}

const isTime = (value: unknown): boolean => typeof value === 'string' && time.test(value)
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

function isEntry(entry: AssociationEntry): boolean {
  const counts = [entry.records, entry.copies, entry.weight, ...entry.earlier]
  return isPlace(entry) && isHash(entry.list) && counts.every(isCount) && isTime(entry.complete_until)
}

function isFinding({ association, kind, what }: BackupFinding): boolean {
  return [association, kind, what].every((value) => typeof value === 'string')
}
