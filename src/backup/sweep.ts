/** Removes from a backup what its manifest does not name: earlier states of files, old lists, leftovers of killed runs. */

import { readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '../error-code.ts'
import { nameOf, type RecordPath } from '../records/layout.ts'
import { directoryOf, listName, manifestName, writingName } from './layout.ts'
import { copyNameOf, readList } from './list.ts'
import type { AssociationEntry } from './manifest.ts'

/** Sweeps the changed associations only; or, if `changed` is undefined because a run was killed, all of them. */
export function sweep(
  backup: string,
  entries: readonly AssociationEntry[],
  changed: readonly RecordPath[] | undefined,
): void {
  const known = new Map(entries.map((entry) => [nameOf(entry), entry]))
  const places = changed ?? placesIn(backup)
  for (const place of places) sweepAssociation(directoryOf(backup, place), known.get(nameOf(place)))
  for (const name of readdirSync(backup, { withFileTypes: true })) {
    if (!name.isDirectory() && name.name !== manifestName && name.name !== writingName)
      unlinkSync(join(backup, name.name))
  }
}

function placesIn(backup: string): RecordPath[] {
  return directoriesIn(backup).flatMap((addon) =>
    directoriesIn(join(backup, addon)).map((association_slug) => ({ addon, association_slug })),
  )
}

function directoriesIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
}

/** Removes names, also those of links; the target of a link is not touched. */
function sweepAssociation(directory: string, entry: AssociationEntry | undefined): void {
  const unnamed = new Set(readdirSync(directory))
  if (entry) {
    unnamed.delete(listName(entry.list))
    for (const each of readList(directory, entry.list, entry.addon)) {
      const name = copyNameOf(each)
      if (name !== undefined) unnamed.delete(name)
    }
  }
  for (const name of unnamed) unless(['EISDIR', 'EPERM'], () => unlinkSync(join(directory, name)))
  if (!entry) unless(['ENOTEMPTY'], () => rmdirSync(directory))
}

/** Runs `remove` and ignores errors with these codes, so that a directory that somebody made there stays. */
function unless(codes: readonly string[], remove: () => void): void {
  try {
    remove()
  } catch (error) {
    if (!hasCode(error, ...codes)) throw error
  }
}
