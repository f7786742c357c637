/**
 * The names in a backup directory.
 *
 *   <directory>/.lock                               while a run is under way
 *   <directory>/backup-<time>/                      one backup, complete in itself; the newest one counts
 *     manifest                                      what it holds; signed; replaced last
 *     .writing                                      a run is under way, or was killed
 *     <addon>/<association>/list.<sha256>           the copies of one association and their hashes, one a line
 *     <addon>/<association>/<file>.<sha256>         a file that is replaced as a whole
 *     <addon>/<association>/records.json.001.000001 a piece of append-only records: line of copies 1, piece 1
 *   <directory>/stamps/                             time stamps of heads, which carry signatures of their own (`stamps.ts`)
 *   <directory>/backup-<time>.unfinished/           a first run that was killed; the next run removes it
 *
 * The pieces of one line of copies, put one behind the other and closed with `\n]\n`, are the records file.
 */
import { join } from 'node:path'
import { nameOf, type RecordPath, recordsName } from '../records/layout.ts'

export const manifestName = 'manifest'
export const writingName = '.writing'
export const backupLockName = '.lock'
export const stampsName = 'stamps'

const backupPattern = /^backup-\d{8}T\d{9}Z$/
const unfinishedEnd = '.unfinished'

/** A name that sorts behind the newest backup, even if the clock was set back. */
export function backupName(now: Date, newest: string | undefined): string {
  const name = `backup-${now.toISOString().replace(/[-:.]/g, '')}`
  if (newest === undefined || name > newest) return name
  const [, date, time] = /(\d{8})T(\d{9})/.exec(newest) as unknown as [string, string, string]
  const next = String(BigInt(date + time) + 1n).padStart(17, '0')
  return `backup-${next.slice(0, 8)}T${next.slice(8)}Z`
}

export function isBackup(name: string): boolean {
  return backupPattern.test(name)
}

export function unfinishedName(backup: string): string {
  return backup + unfinishedEnd
}

export function isUnfinished(name: string): boolean {
  return name.endsWith(unfinishedEnd) && isBackup(name.slice(0, -unfinishedEnd.length))
}

export function directoryOf(backup: string, { addon, association_slug }: RecordPath): string {
  return join(backup, addon, association_slug)
}

export function listName(sha256: string): string {
  return `list.${sha256}`
}

export function copyName(file: { readonly name: string; readonly sha256: string }): string {
  return `${file.name}.${file.sha256}`
}

export function pieceName({ line, piece }: { readonly line: number; readonly piece: number }): string {
  return `${recordsName}.${String(line).padStart(3, '0')}.${String(piece).padStart(6, '0')}`
}

/** The order in which a run goes through associations: the order of the full names of their files. */
export function byName(a: RecordPath, b: RecordPath): number {
  return `${nameOf(a)}/` < `${nameOf(b)}/` ? -1 : 1
}
