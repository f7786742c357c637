/** `list`: the associations at a glance, or the records of one. */
import { join } from 'node:path'
import { parseReceipt } from '../storage/records-file.ts'
import type { Command, Exit, Io } from './io.ts'
import { dataDirectory, parse, slugArgument } from './options.ts'
import { plain } from './plain.ts'
import { counted, printer } from './print.ts'
import { eachRecord, placekeysOf, recordsPath, type Stored, slugsOf, textMember } from './read.ts'
import { lastLine, withSnapshot } from './snapshot-file.ts'

const help = `npm run audit -- list [SLUG] [--data DIR] [--json]

Without SLUG: each association with the number of its Scenarios (scn01), when the last one was received, and
how many addresses have Vital Signs (vs01) and Diagnostics (dsc01).
With SLUG: its Scenarios, one a line.

Nothing is checked; for that there is verify.`

export const list: Command = {
  summary: 'the associations at a glance, or the records of one',
  help,
  run: async (args, io) => {
    const options = parse(args, {}, 1)
    const root = dataDirectory(options.data)
    const [named] = options.positionals
    return named === undefined
      ? listAssociations(root, options.json, io)
      : listRecords(root, slugArgument(named), options.json, io)
  },
}

async function listAssociations(root: string, json: boolean, io: Io): Promise<Exit> {
  const print = printer(io, json)
  const slugs = [...new Set(['scn01', 'vs01', 'dsc01'].flatMap((addon) => slugsOf(root, addon)))].sort()
  const width = Math.max(11, ...slugs.map((slug) => slug.length))
  const row = (slug: string, ...cells: readonly (string | number)[]): string =>
    `${slug.padEnd(width)}  ${cells.map((cell) => String(cell).padStart(9)).join('  ')}`
  await print.say(row('association', 'scenarios', 'vital s.', 'diagnost.', 'last scenario received'))
  for (const slug of slugs) {
    const { count, received_at } = await lastOf(root, slug)
    const [vs01, dsc01] = ['vs01', 'dsc01'].map((addon) => placekeysOf(root, addon, slug).length) as [
      number,
      number,
    ]
    await print.say(row(slug, count, vs01, dsc01, received_at ?? ''))
    await print.give('association', {
      association_slug: slug,
      scn01: count,
      vs01,
      dsc01,
      last_received_at: received_at ?? null,
    })
  }
  await print.say(`${counted(slugs.length, 'association')} in ${join(root)}`)
  return 0
}

/** From the receipt of the last record; the file is not read through. */
async function lastOf(root: string, slug: string): Promise<{ count: number; received_at?: string }> {
  try {
    return await withSnapshot(recordsPath(root, slug), async (snapshot) => {
      const receipt = parseReceipt((await lastLine(snapshot)) ?? Buffer.alloc(0))
      return receipt ? { count: receipt.sequence, received_at: receipt.received_at } : { count: 0 }
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { count: 0 }
  }
}

async function listRecords(root: string, slug: string, json: boolean, io: Io): Promise<Exit> {
  const print = printer(io, json)
  let unreadable = 0
  await eachRecord(root, slug, async (record) => {
    if (!record.value) unreadable++
    await print.say(glance(record, io.columns))
    await print.give('record', facts(record))
  })
  if (unreadable > 0) io.err(`audit: ${counted(unreadable, 'record')} could not be read; run verify\n`)
  return unreadable > 0 ? 1 : 0
}

function facts({ slug, number, value, sha256 }: Stored): object {
  return {
    association_slug: slug,
    number,
    received_at: receivedAt(value),
    participant_id: textMember(value, 'participant_id') ?? null,
    standing: textMember(value, 'standing') ?? null,
    pinned_scenario_ids: value?.pinned_scenario_ids ?? null,
    g1_tx_hash: value?.g1_tx_hash ?? null,
    record_sha256: sha256(),
  }
}

function glance({ number, value }: Stored, columns: number): string {
  if (!value) return `${String(number).padStart(6)}  cannot be read`
  const pins = Array.isArray(value.pinned_scenario_ids) ? value.pinned_scenario_ids.join(' ') : ''
  const cells = [
    String(number).padStart(6),
    receivedAt(value)?.slice(0, 16).replace('T', ' ') ?? '',
    textMember(value, 'participant_id') ?? '',
    textMember(value, 'standing') ?? '',
    pins,
    value.g1_tx_hash ? 'Ğ1' : '--',
    (textMember(value, 'narrative') ?? '').slice(0, columns).replace(/\s+/g, ' '),
  ]
  return plain(cells.join('  ')).slice(0, columns)
}

function receivedAt(value: Stored['value']): string | null {
  const receipt = value?.receipt
  const isObject = typeof receipt === 'object' && receipt !== null && !Array.isArray(receipt)
  return (isObject && textMember(receipt as NonNullable<Stored['value']>, 'received_at')) || null
}
