/** Lists what is backed up of a data directory. Symbolic links in the place of directories are not followed. */

import { lstatSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { isSlug } from '../../contracts/envelope.ts'
import { contracts } from '../../contracts/index.ts'
import { ignoreName, markName, nameOf, type RecordPath, recordsName } from '../records/layout.ts'
import { developmentTokenFile, pausedFile, timelineFile } from '../storage/files/paths.ts'
import { namesIn } from './directory.ts'
import type { BackupFindings } from './findings.ts'
import { isPassedOver, isPassing, isWholeFile } from './names.ts'

const leftOut = 'no file that the receiver stores; it is not in the backup'

/** The associations that have a directory. Everything else that lies beside them is reported. */
export function placesIn(data: string, findings: BackupFindings): RecordPath[] {
  const places: RecordPath[] = []
  for (const addon of readdirSync(data)) {
    if (!contracts.has(addon) || !isDirectory(join(data, addon))) {
      if (!isKnownAtTop(addon)) findings.tell('', 'left-out', leftOut, addon)
      continue
    }
    for (const association_slug of readdirSync(join(data, addon))) {
      const path = join(addon, association_slug)
      if (isSlug(association_slug) && isDirectory(join(data, path))) places.push({ addon, association_slug })
      else findings.tell(addon, 'left-out', leftOut, path)
    }
  }
  return places
}

/** The files of an association that are copied as a whole, in no order; none when its directory is gone. */
export function* wholeFilesIn(data: string, place: RecordPath, findings: BackupFindings): Generator<string> {
  for (const name of namesIn(join(data, place.addon, place.association_slug))) {
    if (isWholeFile(place.addon, name)) yield name
    else if (!isPassedOver(place.addon, name))
      findings.tell(nameOf(place), 'left-out', leftOut, join(nameOf(place), name))
  }
}

export function recordsFile(data: string, { addon, association_slug }: RecordPath): string {
  return join(data, addon, association_slug, recordsName)
}

function isKnownAtTop(name: string): boolean {
  return knownAtTop.has(name) || isPassing(name)
}

const knownAtTop: ReadonlySet<string> = new Set([
  basename(pausedFile('')),
  basename(developmentTokenFile('')),
  basename(timelineFile('')),
  markName,
  ignoreName,
  'lost+found',
])

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
