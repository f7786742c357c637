/**
 * Imports a data directory into an empty database. Receipts and the order of records are kept.
 *
 * Invariants
 *   1. All records are imported or none: until the last record has been stored and compared, receivers are refused, and the next
 *      import begins anew.
 *   2. A directory is imported only if `verify` has no finding. The database follows each chain once more while storing.
 *   3. A directory that changed meanwhile is not imported, because a receiver is still storing in it, and its new records would be
 *      missing.
 *
 * Some files are not imported and stay where they are: torn ends that recoveries cut off (`records.json.torn-…`), the token of a
 * development receiver, `.paused`, and files that hold no record.
 */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { placeName } from '../audit/addons.ts'
import { verify } from '../audit/verify/command.ts'
import { diskDirectory } from '../audit/verify/disk-directory.ts'
import { readTree, type Tree } from '../audit/verify/tree.ts'
import type { Io } from '../cli/io.ts'
import { dataDirectory } from '../cli/options.ts'
import { counted } from '../cli/print.ts'
import { progressOn } from '../cli/progress.ts'
import { recordsName } from '../records/layout.ts'
import { parseReceipt } from '../records/line.ts'
import { longestLine } from '../records/lines.ts'
import { noHash } from '../records/position.ts'
import { sha256Hex } from '../records/sha256.ts'
import { associationDirectories } from '../storage/files/paths.ts'
import { isRefused } from '../storage/files/refusal.ts'
import { readRegularSync } from '../storage/files/regular-file.ts'
import { recordLines, withSnapshot } from '../storage/files/snapshot-file.ts'
import type { Connection } from '../storage/postgres/connection.ts'
import { beginImport, type Count, endImport, importedSoFar } from '../storage/postgres/importing.ts'
import { insertBodies, insertLines, type Latest, type NewLine } from '../storage/postgres/statements.ts'
import { DatabaseRefused } from './refused.ts'

/** Records in one statement. PostgreSQL accepts 65,535 values in a statement, and a record has three. */
const pageRecords = 500
const pageBytes = 4 * 1024 * 1024
/** The clocks of this machine and of the database may differ by this much; the trigger for receivers has the same limit. */
const mostAheadMs = 5_000

export type Imported = {
  readonly associations: number
  readonly records: number
  readonly files: number
  /** Whether an earlier import was interrupted. */
  readonly wasBrokenOff: boolean
  /** How many files with torn ends lie in the data directory. */
  readonly torn: number
}

export async function importTree(connection: Connection, data: string, io: Io): Promise<Imported> {
  const root = dataDirectory(data)
  // in this process alone, because more processes of `verify` would start this program and not the auditor's tool
  const found = await verify.run(['--data', root, '--copy'], { ...io, program: undefined })
  if (found !== 0)
    throw new DatabaseRefused('`verify` found something in the directory: nothing was imported')
  const tree = await treeOf(root)
  const seen = stampsOf(root, tree)
  for (const { place } of tree.associations) {
    const [, directory] = associationDirectories(root, { addon: place.addon, association_slug: place.slug })
    if (isRefused(directory))
      throw new DatabaseRefused(
        `${placeName(place)} is refused as damaged (.refused.json): nothing was imported`,
      )
  }
  const begun = await beginImport(connection)
  if (begun === 'another import') throw new DatabaseRefused('another import is under way in this database')
  if (begun === 'not empty')
    throw new DatabaseRefused('the database holds records: an import needs an empty one. Nothing was changed')
  try {
    const done = await importAll(connection, root, tree, io)
    await compare(connection, done.heads, tree.files.length)
    if (!isSame(seen, stampsOf(root, await treeOf(root))))
      throw new DatabaseRefused(
        'the directory changed while it was read: stop the receiver that stores there',
      )
    await endImport(connection)
    return { ...done, ...countsOf(tree, done.heads), wasBrokenOff: begun === 'broken off before' }
  } catch (error) {
    io.err('import: broken off; receivers are refused until an import has come to its end\n')
    throw error
  }
}

function countsOf(tree: Tree, heads: ReadonlyMap<string, Count>): Omit<Imported, 'records' | 'wasBrokenOff'> {
  const torn = tree.associations.reduce((sum, association) => sum + association.torn.length, 0)
  return { associations: heads.size, files: tree.files.length, torn }
}

function treeOf(root: string): Promise<Tree> {
  return readTree(diskDirectory(root), { report: () => {}, checkModes: false, now: Date.now() })
}

/** Each file that is imported, with its stamp. */
function stampsOf(root: string, { associations, files }: Tree): ReadonlyMap<string, string> {
  const paths = [
    ...associations.map(({ place }) => join(place.addon, place.slug, recordsName)),
    ...files.map(({ path }) => path),
  ]
  return new Map(
    paths.map((path) => {
      const { ino, size, ctimeNs } = lstatSync(join(root, path), { bigint: true })
      return [path, `${ino} ${size} ${ctimeNs}`]
    }),
  )
}

function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, stamp]) => b.get(path) === stamp)
}

type Done = { readonly heads: ReadonlyMap<string, Count>; readonly records: number }

async function importAll(connection: Connection, root: string, tree: Tree, io: Io): Promise<Done> {
  const progress = progressOn(io)
  const heads = new Map<string, Count>()
  let records = 0
  try {
    for (const { place } of tree.associations) {
      const head = await importRecords(connection, root, place, (count) => {
        records += count
        progress.show(records, undefined, `${counted(records, 'record')}, ${placeName(place)}`)
      })
      if (head.count > 0) heads.set(placeName(place), head)
    }
    await importFiles(connection, root, tree, (done) =>
      progress.show(done, tree.files.length, `${counted(done, 'file')}`),
    )
  } finally {
    progress.clear()
  }
  return { heads, records }
}

async function importRecords(
  connection: Connection,
  root: string,
  { addon, slug }: Tree['associations'][number]['place'],
  onPage: (count: number) => void,
): Promise<Count> {
  const of = { addon, association_slug: slug }
  let head: Count = { count: 0, sha256: noHash }
  let page: NewLine[] = []
  let bytes = 0
  const send = async (): Promise<void> => {
    if (page.length === 0) return
    await insertLines(connection, page)
    onPage(page.length)
    page = []
    bytes = 0
  }
  await withSnapshot(join(associationDirectories(root, of)[1], recordsName), async (snapshot) => {
    let last = ''
    for await (const line of recordLines(snapshot)) {
      const receipt = parseReceipt(line)
      if (!receipt) throw new DatabaseRefused(`${addon}/${slug} changed while it was read`)
      if (page.length === pageRecords || (bytes > 0 && bytes + line.length > pageBytes)) await send()
      page.push({ ...of, id: receipt.id, sequence: receipt.sequence, line })
      bytes += line.length
      head = { count: receipt.sequence, sha256: sha256Hex(line) }
      if (receipt.received_at > last) last = receipt.received_at
    }
    if (last > connection.engineTime(performance.now() + mostAheadMs).toISOString())
      throw new DatabaseRefused(
        `${addon}/${slug} has a time of receipt that is still to come: receivers could store nothing behind it until then`,
      )
    await send()
  })
  return head
}

async function importFiles(
  connection: Connection,
  root: string,
  { files }: Tree,
  onPage: (done: number) => void,
): Promise<void> {
  let page: Latest[] = []
  let bytes = 0
  for (const [at, { addon, slug, name, path }] of files.entries()) {
    const body = readRegularSync(join(root, path), longestLine)
    if (page.length === pageRecords || (bytes > 0 && bytes + body.length > pageBytes)) {
      await insertBodies(connection, page)
      onPage(at)
      page = []
      bytes = 0
    }
    page.push({ addon, association_slug: slug, participant_id: name, body })
    bytes += body.length
  }
  if (page.length > 0) await insertBodies(connection, page)
}

async function compare(
  connection: Connection,
  heads: ReadonlyMap<string, Count>,
  files: number,
): Promise<void> {
  const stored = await importedSoFar(connection)
  const isWhole =
    stored.bodies === files &&
    stored.heads.size === heads.size &&
    [...heads].every(([name, { count, sha256 }]) => {
      const there = stored.heads.get(name)
      return there?.count === count && there.sha256 === sha256
    })
  if (!isWhole)
    throw new DatabaseRefused('what was stored is not what was read: the database takes no records')
}
