/** Removes from a backup what its manifest does not name: earlier states of files, old lists, leftovers of killed runs. */

import { readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '../error-code.ts'
import { nameOf, type RecordPath } from '../records/layout.ts'
import { namesIn } from './directory.ts'
import { directoryOf, listName, manifestName, writingName } from './layout.ts'
import { copyNameOf, readList } from './list.ts'
import type { AssociationEntry } from './manifest.ts'
import type { BackupRun } from './run.ts'
import { sortedNames } from './sorted-names.ts'

/** Sweeps the changed associations only; or, if `changed` is undefined because a run was killed, all of them. */
export async function sweep(
  backup: string,
  entries: readonly AssociationEntry[],
  changed: readonly RecordPath[] | undefined,
  turn: BackupRun['turn'],
): Promise<void> {
  const known = new Map(entries.map((entry) => [nameOf(entry), entry]))
  for (const place of changed ?? placesIn(backup)) {
    const directory = directoryOf(backup, place)
    const entry = known.get(nameOf(place))
    for (const name of unnamedIn(directory, entry)) {
      if (name !== undefined) unless(['EISDIR', 'EPERM'], () => unlinkSync(join(directory, name)))
      await turn(place)
    }
    if (!entry) unless(['ENOTEMPTY'], () => rmdirSync(directory))
  }
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

/** The names that the list does not name, also those of links, and undefined after each name that it does. */
function* unnamedIn(directory: string, entry: AssociationEntry | undefined): Generator<string | undefined> {
  const listed = sortedNames(entry ? namesOf(directory, entry) : [], directory)
  try {
    let next = listed.next()
    for (const name of sortedNames(namesIn(directory), directory)) {
      while (!next.done && next.value < name) next = listed.next()
      yield !next.done && next.value === name ? undefined : name
    }
  } finally {
    listed.return(undefined)
  }
}

function* namesOf(directory: string, entry: AssociationEntry): Generator<string> {
  yield listName(entry.list)
  for (const each of readList(directory, entry.list, entry.addon)) {
    const name = copyNameOf(each)
    if (name !== undefined) yield name
  }
}

/** Runs `remove` and ignores errors with these codes, so that a directory that somebody made there stays. */
function unless(codes: readonly string[], remove: () => void): void {
  try {
    remove()
  } catch (error) {
    if (!hasCode(error, ...codes)) throw error
  }
}
