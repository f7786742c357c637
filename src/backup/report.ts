/** The texts that `backup` and `restore` print on standard output. */

import { plain } from '../cli/plain.ts'
import { counted } from '../cli/print.ts'
import { nameOf } from '../records/layout.ts'
import type { BackedUp } from './backup.ts'
import { type BackupFinding, isIncomplete, sentence } from './findings.ts'
import type { Manifest } from './manifest.ts'
import type { Restored } from './restore.ts'

export function backupJson({
  path,
  manifest,
  findings,
  others,
  bytesWritten,
  bytesChecked,
}: BackedUp): string {
  const { complete_until } = manifest
  return `${JSON.stringify({
    backup: path,
    complete_until,
    bytes_written: bytesWritten,
    bytes_checked: bytesChecked,
    associations: associationsIn(manifest),
    findings,
    others,
  })}\n`
}

export function backupText({ manifest, bytesWritten, bytesChecked }: BackedUp, ms: number): string {
  const cost = `${megabytes(bytesWritten)} written, ${megabytes(bytesChecked)} of copies compared, ${(ms / 1000).toFixed(1)} s`
  return `${totals(manifest)}; ${cost}\n${untilWhen(manifest, 'is in it')}`
}

export function restoreJson({ path, manifest, warnings }: Restored, isCheck: boolean): string {
  const { complete_until, not_held } = manifest
  const associations = associationsIn(manifest)
  return `${JSON.stringify({ restored: !isCheck, backup: path, complete_until, associations, not_held, warnings })}\n`
}

export function restoreText({ manifest }: Restored, isCheck: boolean): string {
  const lines = associationsIn(manifest).map(
    ({ records, association }) => `${String(records).padStart(9)}  ${plain(association)}\n`,
  )
  const end = isCheck ? 'are whole' : 'are back'
  return `${lines.join('')}${totals(manifest)} ${end}\n${untilWhen(manifest, isCheck ? 'is in it' : 'is back')}`
}

/** The time that holds for all associations, and each exception. The times come from a file that anybody may have written. */
function untilWhen(manifest: Manifest, what: string): string {
  const { complete_until, associations, not_held } = manifest
  const until = `Everything acknowledged before ${plain(complete_until)} ${what}`
  if (not_held.length === 0) return `${until}.\n`
  const earlier = new Map(associations.map((entry) => [nameOf(entry), entry.complete_until]))
  const line = (finding: BackupFinding): string => {
    const since = isIncomplete(finding)
      ? ` (whole up to ${plain(wholeUntil(earlier.get(finding.association)))})`
      : ''
    return `  ${plain(sentence(finding, false))}${since}\n`
  }
  return `${until}, except:\n${not_held.map(line).join('')}`
}

function associationsIn({ associations }: Manifest) {
  return associations.map(({ addon, association_slug, records, earlier, complete_until }) => ({
    association: nameOf({ addon, association_slug }),
    records,
    ...(earlier.length > 0 && { earlier_lines: earlier }),
    complete_until,
  }))
}

function totals({ associations }: Manifest): string {
  const records = associations.reduce((sum, each) => sum + each.records, 0)
  return `${records} records of ${counted(associations.length, 'association')}`
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

/** An association that was never wholly in the backup has the beginning of 1970 as its time. */
function wholeUntil(time: string | undefined): string {
  return time === undefined || Date.parse(time) <= 0 ? 'no time' : time
}
