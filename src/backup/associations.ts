/** Goes through all associations of the data directory and of the backup, in the order of their names. */

import { join } from 'node:path'
import { nameOf, type RecordPath } from '../records/layout.ts'
import { copyFiles } from './copy-files.ts'
import { copyRecords } from './copy-records.ts'
import { ownDirectory } from './directory.ts'
import { isIncomplete } from './findings.ts'
import { byName, directoryOf } from './layout.ts'
import {
  type FileEntry,
  type LineEntry,
  type ListEntry,
  ListWriter,
  type PieceEntry,
  readList,
} from './list.ts'
import type { AssociationEntry } from './manifest.ts'
import { ruleOf } from './names.ts'
import type { BackupRun } from './run.ts'
import { weightOf } from './scrub.ts'
import { sortedNames } from './sorted-names.ts'
import { placesIn, wholeFilesIn } from './source.ts'

export type Copies = {
  readonly entries: readonly AssociationEntry[]
  /** Associations whose list has changed. Copies that the new list does not name are to be removed. */
  readonly changed: readonly RecordPath[]
}

export async function copyAssociations(run: BackupRun, before: readonly AssociationEntry[]): Promise<Copies> {
  const known = new Map(before.map((entry) => [nameOf(entry), entry]))
  const places = new Map<string, RecordPath>(before.map((entry) => [nameOf(entry), entry]))
  for (const place of placesIn(run.data, run.findings)) places.set(nameOf(place), place)
  const entries: AssociationEntry[] = []
  const changed: RecordPath[] = []
  for (const place of [...places.values()].sort(byName)) {
    const old = known.get(nameOf(place))
    const entry = await copyAssociation(run, place, old)
    if (entry) entries.push(entry)
    if (entry?.list !== old?.list) changed.push(place)
    await run.turn(place)
  }
  const incomplete = new Set(run.findings.all.filter(isIncomplete).map(({ association }) => association))
  const until = (entry: AssociationEntry): string =>
    incomplete.has(nameOf(entry))
      ? (known.get(nameOf(entry))?.complete_until ?? never)
      : run.now.toISOString()
  return { entries: entries.map((entry) => ({ ...entry, complete_until: until(entry) })), changed }
}

/** The time that stands in the manifest for an association of which the backup never had everything. */
const never = new Date(0).toISOString()

/** Undefined when neither the data directory nor the backup holds anything of the association. */
async function copyAssociation(
  run: BackupRun,
  place: RecordPath,
  old: AssociationEntry | undefined,
): Promise<AssociationEntry | undefined> {
  const directory = directoryOf(run.backup, place)
  // the directories that the manifest names were checked when the lists were verified
  if (!old) ownDirectory(join(run.backup, place.addon))
  ownDirectory(directory)
  const { lines, pieces, files } = oldEntries(directory, place, old)
  const tally = new CopyTally()
  const list = new ListWriter(directory)
  try {
    const add = (entry: ListEntry): void => {
      list.add(entry)
      tally.add(entry)
    }
    if (ruleOf(place.addon) === 'append-only') {
      const copied = await copyRecords(run, place, { lines, pieces })
      for (const of of copied.lines) add({ kind: 'line', of })
      for (const of of copied.pieces) add({ kind: 'piece', of })
    }
    const names = sortedNames(wholeFilesIn(run.data, place, run.findings), directory)
    await copyFiles(run, place, names, files, (of) => add({ kind: 'file', of }))
  } catch (error) {
    list.abandon()
    throw error
  }
  const sha256 = list.close(old?.list)
  if (tally.isEmpty) return undefined
  return {
    addon: place.addon,
    association_slug: place.association_slug,
    list: sha256,
    ...tally.counts,
    complete_until: '',
  }
}

/** The few lines and pieces come first in a list and are read at once. The files are read one by one, when they are needed. */
function oldEntries(directory: string, { addon }: RecordPath, old: AssociationEntry | undefined) {
  const lines: LineEntry[] = []
  const pieces: PieceEntry[] = []
  const entries = old ? readList(directory, old.list, addon) : ([] as ListEntry[]).values()
  let next = entries.next()
  for (; !next.done && next.value.kind !== 'file'; next = entries.next()) {
    if (next.value.kind === 'line') lines.push(next.value.of)
    else pieces.push(next.value.of)
  }
  const first = next
  function* files(): Generator<FileEntry> {
    for (let at = first; !at.done; at = entries.next()) if (at.value.kind === 'file') yield at.value.of
  }
  return { lines, pieces, files: files() }
}

class CopyTally {
  #records = 0
  #copies = 0
  #weight = 0
  readonly #lines: number[] = []

  add(entry: ListEntry): void {
    if (entry.kind === 'line') {
      this.#lines.push(entry.of.records)
      return
    }
    this.#copies++
    this.#weight += weightOf(entry.of.bytes)
    if (entry.kind === 'file' && entry.of.name.endsWith('.json')) this.#records++
  }

  get isEmpty(): boolean {
    return this.#copies === 0
  }

  get counts() {
    const earlier = this.#lines.slice(0, -1)
    return {
      records: this.#lines.at(-1) ?? this.#records,
      earlier,
      copies: this.#copies,
      weight: this.#weight,
    }
  }
}
