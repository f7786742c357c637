/** Reads records for the commands that show them. Unreadable paths and lines are reported (`trouble.ts`). Only `verify` judges. */

import { type Dirent, lstatSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { JsonObject } from '../../contracts/contract.ts'
import { isSlug } from '../../contracts/envelope.ts'
import { contracts } from '../../contracts/index.ts'
import { CannotRun } from '../cli/io.ts'
import { dataDirectory } from '../cli/options.ts'
import { hasCode } from '../error-code.ts'
import { parseHead } from '../records/head.ts'
import { headName, markName, recordsName } from '../records/layout.ts'
import { type LineReceipt, parseReceipt } from '../records/line.ts'
import { longestLine } from '../records/lines.ts'
import { sha256Hex } from '../records/sha256.ts'
import { associationDirectories, placekeyFile } from '../storage/files/paths.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import { recordLines, withSnapshot } from '../storage/files/snapshot-file.ts'
import { addonsWith, type Place, placeName } from './addons.ts'
import type { Named } from './argument.ts'
import { objectOf } from './members.ts'
import type { Trouble } from './trouble.ts'
import { whyUnread } from './verify/directory.ts'
import { longestHead } from './verify/head-file.ts'

export type ReadRecord = {
  readonly place: Place
  /** The place of the record in the file, 1 for the first. In an unaltered file it equals the sequence. */
  readonly number: number
  /** Undefined when the line does not end in a receipt. */
  readonly receipt: LineReceipt | undefined
  /** Undefined when the line is not a JSON object. */
  readonly value: JsonObject | undefined
  readonly line: Buffer
  readonly sha256: () => string
}

/** Names a record by the sequence in its receipt; a line without a receipt by its number in the file. */
export function nameOf({ place, receipt, number }: ReadRecord): string {
  const name = receipt ? `record ${receipt.sequence}` : `line ${number + 1}, which has no receipt`
  return `${placeName(place)}, ${name}`
}

/** Checks that records are in this directory: it has the mark of a receiver, or a directory of one of the addons. */
export function dataRoot(path: string): string {
  const root = dataDirectory(path)
  const names = new Set(readdirSync(root))
  if (names.has(markName) || [...contracts.keys()].some((addon) => names.has(addon))) return root
  throw new CannotRun(
    `${root} is no data directory of a receiver: it holds neither ${markName} nor a directory of an addon`,
  )
}

export function recordsPath(root: string, { addon, slug }: Place): string {
  return join(associationDirectories(root, { addon, association_slug: slug })[1], recordsName)
}

/** The associations that have a directory below an addon: all of them, or only the named ones. */
export function placesIn(
  root: string,
  addons: readonly string[],
  named: Named | undefined,
  trouble: Trouble,
): Place[] {
  return addons
    .filter((addon) => named?.addon === undefined || named.addon === addon)
    .flatMap((addon) => slugsOf(root, addon, trouble).map((slug): Place => ({ addon, slug })))
    .filter(({ slug }) => named === undefined || named.slug === slug)
}

/** The append-only associations. A named association that does not exist is an error. */
export function appendOnlyPlaces(root: string, named: Named | undefined, trouble: Trouble): Place[] {
  const places = placesIn(root, addonsWith('append-only'), named, trouble)
  if (named && places.length === 0 && !trouble.any)
    throw new CannotRun(`there is no association of that name below ${root}`)
  return places
}

/** The slugs that have a directory below an addon, in order. Symbolic links are reported, never followed. */
export function slugsOf(root: string, addon: string, trouble: Trouble): string[] {
  const found: string[] = []
  for (const entry of entriesOf(root, addon, trouble)) {
    if (!isSlug(entry.name)) continue
    if (entry.isDirectory()) found.push(entry.name)
    else trouble.path(join(addon, entry.name), `is ${kindOf(entry)} and was not followed`)
  }
  return found
}

/** The Placekeys that have a file under an addon and a slug, in order. */
export function placekeysOf(root: string, addon: string, slug: string, trouble: Trouble): string[] {
  const found: string[] = []
  for (const entry of entriesOf(root, join(addon, slug), trouble)) {
    if (!entry.name.endsWith('.json') || entry.name.startsWith('.')) continue
    if (entry.isFile()) found.push(basename(entry.name, '.json'))
    else trouble.path(join(addon, slug, entry.name), `is ${kindOf(entry)} and was not read`)
  }
  return found
}

function kindOf(entry: Dirent): string {
  if (entry.isSymbolicLink()) return 'a symbolic link'
  return entry.isDirectory() ? 'a directory' : entry.isFile() ? 'a file' : 'a special file'
}

function entriesOf(root: string, path: string, trouble: Trouble): Dirent[] {
  if (lstatSync(join(root, path), { throwIfNoEntry: false })?.isSymbolicLink()) {
    trouble.path(path, 'is a symbolic link and was not followed')
    return []
  }
  try {
    return readdirSync(join(root, path), { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    if (hasCode(error, 'EACCES')) trouble.path(path, 'cannot be opened by this user')
    else if (hasCode(error, 'ENOTDIR')) trouble.path(path, 'is not a directory')
    else throw error
    return []
  }
}

/** The record of an address under an addon that keeps only the latest one; undefined when there is none. */
export function placekeyRecord(
  root: string,
  { addon, slug }: Place,
  participant_id: string,
  trouble: Trouble,
): { readonly record: JsonObject | undefined } | undefined {
  const path = placekeyFile(root, { addon, association_slug: slug, participant_id })
  try {
    const record = objectOf(readRegularSync(path, longestLine))
    if (!record) trouble.path(`${addon}/${slug}/${participant_id}.json`, 'is not one JSON object')
    return { record }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    trouble.path(`${addon}/${slug}/${participant_id}.json`, `cannot be read: ${(error as Error).message}`)
    return { record: undefined }
  }
}

/**
 * Calls `see` with each record of an association, in the order of the file. A record whose receipt `wanted` refuses is left out
 * without being parsed.
 */
export async function eachRecord(
  root: string,
  place: Place,
  trouble: Trouble,
  see: (record: ReadRecord) => Promise<unknown>,
  wanted: (receipt: LineReceipt) => boolean = () => true,
): Promise<void> {
  await withRecords(root, place, trouble, async (snapshot) => {
    let number = 0
    for await (const line of recordLines(snapshot)) {
      number++
      const receipt = parseReceipt(line)
      if (receipt && !wanted(receipt)) continue
      const record: ReadRecord = {
        place,
        number,
        receipt,
        value: objectOf(line),
        line,
        sha256: () => sha256Hex(line),
      }
      if (!record.value || !record.receipt) trouble.line(`${placeName(place)}/${recordsName}`)
      await see(record)
    }
    if (!snapshot.closed && snapshot.size > 0)
      trouble.path(`${placeName(place)}/${recordsName}`, 'does not end as a records file at rest does')
  })
}

/** Opens a records file. A file that is not regular or may not be opened is reported; a missing file counts as no records. */
export async function withRecords(
  root: string,
  place: Place,
  trouble: Trouble,
  use: Parameters<typeof withSnapshot<void>>[1],
): Promise<void> {
  try {
    await withSnapshot(recordsPath(root, place), use)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return headAlone(root, place, trouble)
    if (!hasCode(error, 'ENOTREGULAR') && !hasCode(error, 'EACCES')) throw error
    trouble.path(`${placeName(place)}/${recordsName}`, whyUnread(error))
  }
}

/** Reports a head file that counts records without a records file, because the records were removed. */
function headAlone(root: string, place: Place, trouble: Trouble): void {
  try {
    const path = join(recordsPath(root, place), '..', headName)
    const head = parseHead(readRegularSync(path, longestHead).toString('latin1'))
    if (head && head.count > 0)
      trouble.path(
        `${placeName(place)}/${recordsName}`,
        'is not there, and the head file speaks of records in it',
      )
  } catch (error) {
    if (!hasCode(error, 'ENOENT'))
      trouble.path(`${placeName(place)}/${headName}`, `cannot be read: ${(error as Error).message}`)
  }
}
