/** `export`: records as a table for a spreadsheet. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Json, JsonObject } from '../../contracts/contract.ts'
import { row, spread } from './csv.ts'
import { CannotRun, type Command, type Io } from './io.ts'
import { dataDirectory, parse, slugArgument } from './options.ts'
import { eachRecord, objectOf, placekeysOf, slugsOf, textMember } from './read.ts'

const help = `npm run audit -- export --csv [SLUG] [--addon scn01|vs01|dsc01] [--bom] [--data DIR] > table.csv

One row a record, all associations or one. Comma-separated, UTF-8, RFC 4180.
  --addon  scn01 (default), vs01 or dsc01
  --bom    begin with a byte order mark, which some spreadsheets need to see UTF-8

No cell can act as a formula: one that begins with = + - @, a tab or a line end gets an apostrophe before it.
A spreadsheet takes 32,767 characters in a cell, so a narrative has two columns; what is longer still ends in a
remark. Control characters become U+FFFD. For the exact bytes use snapshot or show --json.`

export const exportCsv: Command = {
  summary: 'records as a table for a spreadsheet (--csv); formulas neutralised',
  help,
  run: async (args, io) => {
    const options = parse(
      args,
      { csv: { type: 'boolean' }, bom: { type: 'boolean' }, addon: { type: 'string' } },
      1,
    )
    if (!options.flag('csv')) throw new CannotRun('name the format: export --csv')
    const addon = options.text('addon') ?? 'scn01'
    const root = dataDirectory(options.data)
    const [named] = options.positionals
    const slugs = named === undefined ? slugsOf(root, addon) : [slugArgument(named)]
    if (options.flag('bom')) await io.out('\ufeff')
    if (addon === 'scn01') await scenarios(root, slugs, io)
    else if (addon === 'vs01' || addon === 'dsc01') await overwritten(root, addon, slugs, io)
    else throw new CannotRun('--addon takes scn01, vs01 or dsc01')
    return 0
  },
}

const common = ['association_slug', 'participant_id', 'submitted_at', 'standing', 'association_channel_id']

async function scenarios(root: string, slugs: readonly string[], io: Io): Promise<void> {
  const named = [
    ...common,
    'g1_tx_hash',
    'g1_tx_hash_raw',
    'pinned_scenario_ids',
    'narrative',
    'vs_snapshot',
    'dsc_snapshot',
  ]
  const first = ['association_slug', 'sequence', 'received_at']
  await io.out(
    row([
      ...first,
      ...common.slice(1),
      'g1_tx_hash',
      'g1_tx_hash_raw',
      'pinned_scenario_ids',
      'narrative',
      'narrative_2',
      'vs_snapshot',
      'dsc_snapshot',
      'other',
      'record_sha256',
    ]),
  )
  for (const slug of slugs) {
    await eachRecord(root, slug, async ({ number, value = {}, sha256 }) => {
      const texts = [
        slug,
        String(number),
        receivedAt(value),
        ...common.slice(1).map((name) => textOf(value[name])),
        textOf(value.g1_tx_hash),
        textOf(value.g1_tx_hash_raw),
        Array.isArray(value.pinned_scenario_ids) ? value.pinned_scenario_ids.join(' ') : '',
        ...spread(textOf(value.narrative), 2),
        ...spread(textOf(value.vs_snapshot), 1),
        ...spread(textOf(value.dsc_snapshot), 1),
        ...spread(others(value, named), 1),
        sha256(),
      ]
      await io.out(row(texts))
    })
  }
}

async function overwritten(root: string, addon: string, slugs: readonly string[], io: Io): Promise<void> {
  const named = [...common, 'vs_code', 'perspective', 'fields']
  await io.out(row([...common, 'received_at', 'vs_code', 'perspective', 'fields', 'other']))
  for (const slug of slugs) {
    for (const placekey of placekeysOf(root, addon, slug)) {
      const value = objectOf(readFileSync(join(root, addon, slug, `${placekey}.json`))) ?? {}
      const texts = [
        slug,
        placekey,
        ...common.slice(2).map((name) => textOf(value[name])),
        receivedAt(value),
        textOf(value.vs_code),
        textOf(value.perspective),
        ...spread(textOf(value.fields), 1),
        ...spread(others(value, named), 1),
      ]
      await io.out(row(texts))
    }
  }
}

function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function receivedAt({ receipt }: JsonObject): string {
  const isObject = typeof receipt === 'object' && receipt !== null && !Array.isArray(receipt)
  return (isObject && textMember(receipt as JsonObject, 'received_at')) || ''
}

/** Members without a column of their own, as JSON; nothing that was sent is left out in silence. */
function others(value: JsonObject, named: readonly string[]): string {
  const known = new Set([...named, 'addon', 'contract_version', 'node_token_hash', 'receipt'])
  const rest = Object.entries(value).filter(([name]) => !known.has(name))
  return rest.length === 0 ? '' : JSON.stringify(Object.fromEntries(rest))
}
