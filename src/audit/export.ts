/** `export`: records as a table for a spreadsheet. Its columns are the members that the contracts of the addon name. */
import { CannotRun, type Command, type Io } from '../cli/io.ts'
import { parse } from '../cli/options.ts'
import { addonsWith, type Place, ruleOf } from './addons.ts'
import { namedAssociation } from './argument.ts'
import { row } from './csv.ts'
import { dataRoot, eachRecord, placekeyRecord, placekeysOf, placesIn } from './read.ts'
import { appendedRow, headingOf, latestRow } from './table.ts'
import { Trouble } from './trouble.ts'
import { Workbook } from './xlsx.ts'

const help = `node scripts/audit.mjs export --xlsx [[ADDON/]SLUG] [--addon ADDON] [--data DIR] > table.xlsx
node scripts/audit.mjs export --csv [[ADDON/]SLUG] [--addon ADDON] [--bom] [--data DIR] > table.csv

One row a record, all associations or one.
  --xlsx   a workbook in which every cell is a text: no spreadsheet takes one for a number, a date or a formula
  --csv    comma-separated, UTF-8, RFC 4180, every cell in quotes
  --addon  whose records: needed when SLUG alone does not say it and more than one addon keeps every record
  --bom    begin a CSV with a byte order mark, which some spreadsheets need to see UTF-8

In a CSV no cell can act as a formula: a = + - or @ at the beginning of a cell, or behind a semicolon, a tab or a line break in it,
gets an apostrophe before it. In both, control characters and marks that turn the reading direction become U+FFFD.
A spreadsheet takes 32,767 characters in a cell, so a narrative has two columns; what is longer still ends in a remark.

What a spreadsheet will still change when it opens a CSV: leading zeros, digits beyond the fifteenth, 1E5, TRUE, and what
it takes for a date (3-4, March 3). Import every column as "text", or use --xlsx. For the exact texts use show, for the bytes snapshot.`

export const exportCsv: Command = {
  summary: 'records as a table for a spreadsheet: --xlsx, every cell a text; --csv, formulas neutralised',
  help,
  run: async (args, io) => {
    const options = parse(
      args,
      {
        csv: { type: 'boolean' },
        xlsx: { type: 'boolean' },
        bom: { type: 'boolean' },
        addon: { type: 'string' },
      },
      1,
    )
    const isWorkbook = options.flag('xlsx')
    if (options.flag('csv') === isWorkbook) throw new CannotRun('name one format: export --csv, or --xlsx')
    if (isWorkbook && io.terminal) throw new CannotRun('a workbook is no text: send it to a file')
    if (isWorkbook && options.flag('bom')) throw new CannotRun('--bom is for --csv')
    const [argument] = options.positionals
    const named = argument === undefined ? undefined : namedAssociation(argument)
    const addon = addonFor(options.text('addon') ?? named?.addon)
    const root = dataRoot(options.data)
    const trouble = new Trouble()
    const places = placesIn(root, [addon], named, trouble)
    if (named && places.length === 0 && !trouble.any)
      throw new CannotRun(`there is no association of that name below ${root}/${addon}`)
    if (options.flag('bom')) await io.out('\ufeff')
    const table = isWorkbook ? new Workbook(io.out, headingOf(addon)) : await lines(headingOf(addon), io)
    await exportAll(root, addon, places, trouble, table)
    await table.end()
    return trouble.end(io)
  },
}

function addonFor(named: string | undefined): string {
  const [only, ...others] = addonsWith('append-only')
  if (named === undefined && only !== undefined && others.length === 0) return only
  if (named !== undefined && ruleOf(named) !== undefined) return named
  const all = [...addonsWith('append-only'), ...addonsWith('overwrite-by-placekey')]
  throw new CannotRun(`--addon takes one of ${all.join(', ')}`)
}

type Table = { add(texts: readonly string[]): Promise<void>; end(): Promise<void> }

async function lines(heading: readonly string[], io: Io): Promise<Table> {
  await io.out(row(heading))
  return { add: (texts) => io.out(row(texts)), end: async () => {} }
}

async function exportAll(
  root: string,
  addon: string,
  places: readonly Place[],
  trouble: Trouble,
  table: Table,
): Promise<void> {
  const isAppended = ruleOf(addon) === 'append-only'
  for (const place of places) {
    if (isAppended)
      await eachRecord(root, place, trouble, async ({ receipt, value, sha256 }) => {
        if (!value || !receipt) return
        await table.add(appendedRow(place, { ...receipt, value, sha256: sha256() }))
      })
    else
      for (const placekey of placekeysOf(root, addon, place.slug, trouble)) {
        const value = placekeyRecord(root, place, placekey, trouble)?.record
        if (value) await table.add(latestRow(place, value))
      }
  }
}
