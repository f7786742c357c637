/**
 * Verifies one association in a data directory: its records file, the head file beside it, and the torn ends that recoveries
 * kept.
 */
import { hasCode } from '../../error-code.ts'
import { isWhole } from '../../records/id.ts'
import { recordsName } from '../../records/layout.ts'
import { lineFeed, parseReceipt } from '../../records/line.ts'
import { type ByteSource, longestLine, withoutComma } from '../../records/lines.ts'
import { type Place, placeName } from '../addons.ts'
import { emptyFile, type VerifiedRecords, verifyRecords } from './association.ts'
import { bytesInMemory, type Cause, causeOf, largestUndone, lookedAt } from './causes.ts'
import type { Bytes, Link } from './chain.ts'
import { judgeRange, type Range, type RangeJudgement } from './content-range.ts'
import type { Directory } from './directory.ts'
import type { Expectation } from './expectations.ts'
import type { FileFinding, OnFinding } from './finding.ts'
import { headFile } from './head-file.ts'
import type { Payments } from './same.ts'
import type { HeadFile } from './witnesses.ts'

export type InDirectory = {
  readonly directory: Directory
  readonly place: Place
  /** The names of the files in which recoveries kept torn ends. */
  readonly torn: readonly string[]
  readonly expected: readonly Expectation[]
}

/** A range of a records file with its path. The caller decides where it is judged: in this process, another one, or a worker. */
export type Stretch = Range & { readonly path: string; readonly place: Place }
export type Judge = (stretch: Stretch) => Promise<RangeJudgement>

export type DirectoryRun = {
  /** Undefined: only chains are followed (`--chain`). */
  readonly judge: Judge | undefined
  readonly payments: Payments
  readonly report: OnFinding
  readonly progress: (bytes: number) => void
  /** Called with each record that has its place in the chain. */
  readonly record?: (link: Link) => void
}

export type Tally = {
  readonly records: number
  readonly bytes: number
  readonly last: Link | undefined
  /** The bytes that offsets of records refer to: the file, or its restored form in memory when another program rewrote it. */
  readonly source?: ByteSource
}

export async function verifyAssociation(of: InDirectory, how: DirectoryRun): Promise<Tally> {
  const path = `${placeName(of.place)}/${recordsName}`
  const report = (told: FileFinding): void => how.report({ ...told, path })
  // the head is read before the records, because a head that is read later may name later records
  const early = await headFile(of.directory, of.place)
  return of.directory.withRecords(path, async (snapshot): Promise<Tally> => {
    const head = early.state === 'read' ? early : await laterHead(of, early)
    if (snapshot.size === 0) {
      report(emptyFile(head, of.expected))
      return { records: 0, bytes: 0, last: undefined }
    }
    const cause = causeOf(
      await snapshot.source.read(0, Math.min(lookedAt, snapshot.size)),
      await snapshot.source.read(Math.max(0, snapshot.size - lookedAt), snapshot.size),
    )
    const undone = cause && (await undo(cause, snapshot))
    const torn = await TornRecords.read(of)
    const verified = await verifyBytes(snapshot, undone, head, of, how, (link) => {
      torn.see(link)
      how.record?.(link)
    })
    if (cause) report(explained(cause, undone !== undefined, verified))
    for (const told of verified.found) report(told)
    for (const { name, told } of torn.findings())
      how.report({ ...told, path: `${placeName(of.place)}/${name}` })
    const { source } = undone ?? snapshot
    return { records: verified.records, bytes: snapshot.size, last: verified.last, source }
  })
}

function verifyBytes(
  snapshot: Bytes,
  undone: Bytes | undefined,
  head: HeadFile,
  { place, expected }: InDirectory,
  { judge: elsewhere, payments, progress }: DirectoryRun,
  record: (link: Link) => void,
): Promise<VerifiedRecords> {
  const path = `${placeName(place)}/${recordsName}`
  const judge =
    elsewhere &&
    ((range: Range) =>
      undone ? judgeRange(undone.source, place, range) : elsewhere({ path, place, ...range }))
  return verifyRecords(undone ?? snapshot, { place, head, expected }, { judge, payments, progress, record })
}

/**
 * Reads again a head file that was missing, because a running receiver writes the head of a new association after its
 * records. Such a head may name later records than were read, so nothing is compared with it.
 */
async function laterHead({ directory, place }: InDirectory, early: HeadFile): Promise<HeadFile> {
  const later = await headFile(directory, place)
  return later.state === 'read' ? { state: 'read', head: { count: 0, size: 0, sha256: '' } } : early
}

async function undo(cause: Cause, { source, size }: Bytes): Promise<Bytes | undefined> {
  if (!cause.undo || size > largestUndone) return undefined
  try {
    const whole = bytesInMemory(cause.undo(await source.read(0, size)))
    return causeOf(await whole.source.read(0, lookedAt), new Uint8Array()) ? undefined : whole
  } catch {
    return undefined
  }
}

function explained({ what }: Cause, isUndone: boolean, { found, records }: VerifiedRecords): FileFinding {
  const isSound = isUndone && found.every(({ level }) => level === 'note')
  return {
    level: 'finding',
    kind: 'rewritten as a whole',
    what: `the file ${what}`,
    meaning: isSound
      ? `These are not the bytes that the receiver wrote. With that undone, ${records === 1 ? 'the one record is' : `all ${records} records are`} there as acknowledged, and the chain holds: nothing else was changed. Ask for a copy that went through no such program.`
      : isUndone
        ? 'These are not the bytes that the receiver wrote. What else is said about this file is about it with that undone.'
        : 'These are not the bytes that the receiver wrote, and it could not be undone here. Ask for a copy that went through no such program.',
  }
}

/**
 * Finds whole records in the torn ends that recoveries kept. A recovery cuts off only unacknowledged bytes, so somebody has to look at whole
 * records there.
 */
class TornRecords {
  readonly #files = new Map<string, Map<string, number>>()
  readonly #tooLong: string[] = []

  static async read({ directory, place, torn }: InDirectory): Promise<TornRecords> {
    const records = new TornRecords()
    for (const name of torn) await records.#read(directory, `${placeName(place)}/${name}`, name)
    return records
  }

  see({ id }: Link): void {
    for (const ids of this.#files.values()) ids.delete(id)
  }

  findings(): { readonly name: string; readonly told: FileFinding }[] {
    const found = this.#tooLong.map((name) => ({ name, told: longTear }))
    for (const [name, ids] of this.#files)
      if (ids.size > 0) found.push({ name, told: hidden([...ids.values()]) })
    return found
  }

  async #read(directory: Directory, path: string, name: string): Promise<void> {
    try {
      this.#files.set(name, wholeRecordsIn(await directory.read(path, longestLine)))
    } catch (error) {
      if (hasCode(error, 'EFBIG')) this.#tooLong.push(name)
      else if (!hasCode(error, 'ENOENT')) this.#files.set(name, new Map())
    }
  }
}

/** The sequences of the whole records, by id. */
function wholeRecordsIn(bytes: Uint8Array): Map<string, number> {
  const ids = new Map<string, number>()
  for (let start = 0; start < bytes.length; ) {
    const feed = bytes.indexOf(lineFeed, start)
    const end = feed === -1 ? bytes.length : feed
    // a torn batch begins with the comma behind the record before
    const line = withoutComma(bytes.subarray(start, end))
    const receipt = parseReceipt(line)
    if (receipt && isWhole(line, receipt)) ids.set(receipt.id, receipt.sequence)
    start = end + 1
  }
  return ids
}

const longTear: FileFinding = {
  level: 'finding',
  kind: 'torn',
  what: 'is longer than anything a recovery cuts off',
  meaning: 'Another program made it. It was not looked into.',
}

function hidden(sequences: readonly number[]): FileFinding {
  const first = sequences[0] as number
  const which =
    sequences.length === 1
      ? `record ${first}`
      : `${sequences.length} whole records, the first of them record ${first}`
  return {
    level: 'finding',
    kind: 'hidden',
    record: first,
    what: `holds ${which}, which the records file does not have`,
    meaning:
      'Either a power cut tore a write of several records, and these were never acknowledged: then their senders have no receipts. Or somebody cut acknowledged records off and hid them here. Ask for receipts with these sequences.',
  }
}
