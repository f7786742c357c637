/** Runs in a worker: holds the opened files and the findings about them, and answers the questions of the page. */
import type { JsonObject } from '../../../contracts/contract.ts'
import { type ByteSource, lineBatches, withoutComma } from '../../records/lines.ts'
import { type Place, placeName } from '../addons.ts'
import { row } from '../csv.ts'
import { objectOf, receivedAt } from '../members.ts'
import { appendedRow, headingOf } from '../table.ts'
import type { Judge } from '../verify/in-directory.ts'
import { check, type Report } from './check.ts'
import { type Choices, Columns, type Filter } from './columns.ts'
import { type KeptText, keptFrom } from './engine.ts'
import { type Opened, sourceOf } from './opened-directory.ts'
import { nothingPlaced, type Placed, placed } from './placed.ts'
import { sha256All } from './sha256.ts'
import { readZip } from './zip.ts'

export type DeskProgress = { readonly done: number; readonly total: number; readonly what: string }

/** A record as the page shows it. */
export type Shown = {
  readonly sequence: number
  readonly line: number
  readonly sha256: string
  /** The stored line as text. Bytes that are not UTF-8 are shown as U+FFFD. */
  readonly text: string
  /** Undefined for a line that is no JSON object. */
  readonly record: JsonObject | undefined
}

export type Found = { readonly rows: readonly number[]; readonly total: number; readonly choices: Choices }

const largestUnpacked = 1024 ** 3
const piece = 4 * 1024 * 1024

export class Desk {
  readonly #version: string
  readonly #tell: (progress: DeskProgress) => void
  #opened: readonly Opened[] = []
  #placed: Placed = nothingPlaced
  readonly #columns = new Map<string, Columns>()
  readonly #sources = new Map<string, ByteSource>()
  readonly #reading = new Map<string, Promise<Columns>>()

  constructor(version: string, tell: (progress: DeskProgress) => void) {
    this.#version = version
    this.#tell = tell
  }

  /** Takes the opened files. If they hold several data directories, `choices` names them, and `choose` selects one. */
  async open(opened: readonly Opened[]): Promise<Pick<Placed, 'choices'> & { readonly count: number }> {
    const [only, ...others] = opened
    this.#opened =
      only && others.length === 0 && /\.zip$/i.test(only.path) ? await unzipped(only.file) : opened
    return this.#place(undefined)
  }

  choose(root: string): Promise<Pick<Placed, 'choices'> & { readonly count: number }> {
    return this.#place(root)
  }

  async #place(root: string | undefined) {
    this.#placed = await placed(this.#opened, root)
    return { choices: this.#placed.choices, count: this.#placed.files.length }
  }

  get files(): readonly Opened[] {
    return this.#placed.files
  }

  async check(kept: readonly KeptText[], judge: Judge): Promise<Report> {
    this.#columns.clear()
    this.#sources.clear()
    this.#reading.clear()
    return check(this.#placed.files, {
      kept: keptFrom(kept),
      judge,
      version: this.#version,
      now: new Date(),
      outside: this.#placed.outside,
      stamps: this.#placed.stamps,
      progress: (done, total, what) => this.#tell({ done, total, what }),
      record: (place, link) => this.#columnsOf(place).add(link),
      source: (place, source) => void this.#sources.set(placeName(place), source),
    })
  }

  #columnsOf(place: Place): Columns {
    const name = placeName(place)
    const found = this.#columns.get(name) ?? new Columns()
    this.#columns.set(name, found)
    return found
  }

  #sourceOf(place: Place): ByteSource {
    const found = this.#sources.get(placeName(place))
    if (!found) throw new Error(`there are no records of ${placeName(place)}`)
    return found
  }

  /** Reads the records once, so that they can be filtered. Questions that come meanwhile wait for the same reading. */
  #described(place: Place): Promise<Columns> {
    const name = placeName(place)
    const reading = this.#reading.get(name) ?? this.#describe(place)
    this.#reading.set(name, reading)
    // after a failure, the next question tries again
    reading.catch(() => this.#reading.delete(name))
    return reading
  }

  async #describe(place: Place): Promise<Columns> {
    const columns = this.#columnsOf(place)
    const source = this.#sourceOf(place)
    const total = columns.length
    await this.#each(source, columns, columns.described, (bytes, index) => {
      columns.describe(objectOf(bytes))
      if (index % 500 === 0) this.#tell({ done: index, total, what: placeName(place) })
    })
    return columns
  }

  /** Reads the bytes of records, in the order of the rows. The next stretch is read while the caller works on this one. */
  async #each(
    source: ByteSource,
    columns: Columns,
    from: number,
    see: (bytes: Uint8Array, index: number) => void,
  ) {
    const read = (stretch: Together | undefined) => stretch && source.read(stretch.begin, stretch.end)
    let stretch = together(columns, from)
    let reading = read(stretch)
    while (stretch && reading) {
      const bytes: Uint8Array = await reading
      const next = together(columns, stretch.last)
      reading = read(next)
      // An error is thrown when this promise is awaited.
      reading?.catch(() => {})
      for (let index = stretch.first; index < stretch.last; index++) {
        const { offset, length } = columns.where(index)
        see(bytes.subarray(offset - stretch.begin, offset - stretch.begin + length), index)
      }
      stretch = next
    }
  }

  async find(place: Place, filter: Filter): Promise<Found> {
    const columns = await this.#described(place)
    let rows = columns.passing(filter)
    if (filter.text !== '') rows = await this.#containing(place, columns, new Set(rows), filter.text)
    return { rows, total: columns.length, choices: columns.choices }
  }

  /** The rows whose records contain a text. The text is written as JSON first, because a record holds its texts as JSON. */
  async #containing(
    place: Place,
    columns: Columns,
    rows: ReadonlySet<number>,
    text: string,
  ): Promise<number[]> {
    const needle = JSON.stringify(text).slice(1, -1).toLowerCase()
    const decoder = new TextDecoder()
    const found: number[] = []
    await this.#each(this.#sourceOf(place), columns, 0, (bytes, index) => {
      if (rows.has(index) && decoder.decode(bytes).toLowerCase().includes(needle)) found.push(index)
    })
    return found
  }

  async shown(place: Place, rows: readonly number[]): Promise<readonly Shown[]> {
    const columns = this.#columnsOf(place)
    const source = this.#sourceOf(place)
    const lines = await Promise.all(
      rows.map((index) => {
        const { offset, length } = columns.where(index)
        return source.read(offset, offset + length)
      }),
    )
    const hashes = await sha256All(lines)
    return rows.map((index, at) => {
      const { sequence, line } = columns.where(index)
      return { sequence, line, sha256: hashes[at] as string, ...texts(lines[at] as Uint8Array) }
    })
  }

  async record(place: Place, sequence: number): Promise<Shown | undefined> {
    const index = this.#columnsOf(place).indexOf(sequence)
    return index === -1 ? undefined : (await this.shown(place, [index]))[0]
  }

  /** A line of the file, which may be no record. */
  async line(place: Place, wanted: number): Promise<Shown | undefined> {
    const source = this.#sourceOf(place)
    let line = 0
    for await (const batch of lineBatches(source, 0, Number.MAX_SAFE_INTEGER)) {
      const found = batch[wanted - line - 1]
      line += batch.length
      if (!found) continue
      const bytes = withoutComma(found.text)
      const [sha256] = await sha256All([bytes])
      return { sequence: 0, line: wanted, sha256: sha256 as string, ...texts(bytes) }
    }
    return undefined
  }

  /** The record of an address, for an addon that keeps only the latest state. */
  async latest(
    path: string,
  ): Promise<{ readonly text: string; readonly record: JsonObject | undefined } | undefined> {
    const file = this.files.find((opened) => opened.path === path)?.file
    return file && texts(await sourceOf(file).read(0, file.size))
  }

  async csv(place: Place, rows: readonly number[]): Promise<Blob> {
    const parts: BlobPart[] = [row(headingOf(place.addon))]
    for (let at = 0; at < rows.length; at += 200) {
      const records = await this.shown(place, rows.slice(at, at + 200))
      const texts = records.flatMap(({ record, sequence, sha256 }) =>
        record
          ? [
              row(
                appendedRow(place, {
                  sequence,
                  received_at: receivedAt(record) ?? '',
                  value: record,
                  sha256,
                }),
              ),
            ]
          : [],
      )
      parts.push(texts.join(''))
      this.#tell({ done: at, total: rows.length, what: 'CSV' })
    }
    return new Blob(parts, { type: 'text/csv' })
  }
}

/** Rows from `first` until before `last`. Their records stand one behind the other in the file, so one read gets them all. */
type Together = {
  readonly first: number
  readonly last: number
  readonly begin: number
  readonly end: number
}

function together(columns: Columns, first: number): Together | undefined {
  if (first >= columns.length) return undefined
  const begin = columns.where(first).offset
  let end = begin
  let last = first
  for (; last < columns.length; last++) {
    const { offset, length } = columns.where(last)
    if (offset < begin || (last > first && offset + length - begin > piece)) break
    end = Math.max(end, offset + length)
  }
  return { first, last, begin, end }
}

function texts(bytes: Uint8Array): { readonly text: string; readonly record: JsonObject | undefined } {
  return { text: new TextDecoder().decode(bytes), record: objectOf(bytes) }
}

/** Unpacks a zip. There is a limit, because a browser unpacks into memory or into temporary files. */
async function unzipped(zip: Blob): Promise<Opened[]> {
  const entries = await readZip(zip)
  const size = entries.reduce((sum, entry) => sum + entry.size, 0)
  if (size > largestUnpacked)
    throw new Error('The zip holds more than 1 GB. Unpack it and open the folder: that needs no memory.')
  const opened: Opened[] = []
  for (const entry of entries) {
    const file = await new Response((await entry.stream()) as BodyInit).blob()
    opened.push({ path: entry.name, file, changedMs: 0 })
  }
  return opened
}
