/** Turns records into rows of a table for a spreadsheet, with the same columns in `export` and in the page. */
import type { Json, JsonObject } from '../../contracts/contract.ts'
import { namedMembers, type Place, ruleOf } from './addons.ts'
import { spread } from './csv.ts'
import { member, receivedAt } from './members.ts'

/** Members that may be longer than one cell of a spreadsheet. */
const longTexts = new Set(['narrative'])
/** Members without a column: they are in every row in another form, or are of no use in a table. */
const elsewhere = new Set(['addon', 'association_slug', 'receipt', 'node_token_hash'])

const columnsOf = (addon: string): string[] => namedMembers(addon).filter((name) => !elsewhere.has(name))

export function headingOf(addon: string): string[] {
  const isAppended = ruleOf(addon) === 'append-only'
  return [
    'association_slug',
    ...(isAppended ? ['sequence'] : []),
    'received_at',
    ...columnsOf(addon).flatMap((name) => (longTexts.has(name) ? [name, `${name}_2`] : [name])),
    'other',
    ...(isAppended ? ['record_sha256'] : []),
  ]
}

export type Appended = {
  readonly sequence: number
  readonly received_at: string
  readonly value: JsonObject
  readonly sha256: string
}

export function appendedRow(
  { addon, slug }: Place,
  { sequence, received_at, value, sha256 }: Appended,
): string[] {
  return [slug, String(sequence), received_at, ...cellsOf(addon, value), sha256]
}

export function latestRow({ addon, slug }: Place, value: JsonObject): string[] {
  return [slug, receivedAt(value) ?? '', ...cellsOf(addon, value)]
}

function cellsOf(addon: string, value: JsonObject): string[] {
  const columns = columnsOf(addon)
  return [
    ...columns.flatMap((name) => spread(textOf(member(value, name)), longTexts.has(name) ? 2 : 1)),
    ...spread(others(value, columns), 1),
  ]
}

function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(' ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** All members without a column of their own, as JSON, so that no sent member is missing from the row. */
function others(value: JsonObject, columns: readonly string[]): string {
  const known = new Set([...columns, ...elsewhere])
  const rest = Object.entries(value).filter(([name]) => !known.has(name))
  return rest.length === 0 ? '' : JSON.stringify(Object.fromEntries(rest))
}
