/** `list`: the associations at a glance, or the records of one. */
import type { Command, Exit, Io } from '../cli/io.ts'
import { parse } from '../cli/options.ts'
import { plain } from '../cli/plain.ts'
import { counted, printer } from '../cli/print.ts'
import { parseReceipt } from '../records/line.ts'
import { lastLine } from '../storage/files/snapshot-file.ts'
import { addonsWith, type Place, paymentMember, placeName } from './addons.ts'
import { type Named, namedAssociation } from './argument.ts'
import { member, textMember } from './members.ts'
import {
  appendOnlyPlaces,
  dataRoot,
  eachRecord,
  placekeysOf,
  type ReadRecord,
  slugsOf,
  withRecords,
} from './read.ts'
import { Trouble } from './trouble.ts'

const help = `node scripts/audit.mjs list [[ADDON/]SLUG] [--data DIR] [--json]

Without SLUG: each association with the number of its records, by addon, and when the last one that stays was received.
With SLUG: its records, one a line. "Ğ1" marks one that names a payment, "Ğ1?" one that was sent something
that is no transaction hash, "--" one without.

Nothing is checked; for that there is verify.`

export const list: Command = {
  summary: 'the associations at a glance, or the records of one',
  help,
  run: async (args, io) => {
    const options = parse(args, {}, 1)
    const root = dataRoot(options.data)
    const [named] = options.positionals
    return named === undefined
      ? listAssociations(root, options.json, io)
      : listRecords(root, namedAssociation(named), options.json, io)
  },
}

async function listAssociations(root: string, json: boolean, io: Io): Promise<Exit> {
  const print = printer(io, json)
  const trouble = new Trouble()
  const appended = addonsWith('append-only')
  const overwritten = addonsWith('overwrite-by-placekey')
  const addons = [...appended, ...overwritten]
  const slugs = [...new Set(addons.flatMap((addon) => slugsOf(root, addon, trouble)))].sort()
  const width = slugs.reduce((widest, slug) => Math.max(widest, slug.length), 'association'.length)
  const row = (slug: string, cells: readonly (string | number)[]): string =>
    `${slug.padEnd(width)}  ${cells.map((cell) => String(cell).padStart(9)).join('  ')}`
  await print.say(row('association', [...addons, 'last received, of those that stay']))
  for (const slug of slugs) {
    const last = new Map<string, LastRecord>()
    for (const addon of appended) last.set(addon, await lastOf(root, { addon, slug }, trouble))
    const counts = new Map<string, number>(appended.map((addon) => [addon, last.get(addon)!.count]))
    for (const addon of overwritten) counts.set(addon, placekeysOf(root, addon, slug, trouble).length)
    const received =
      [...last.values()]
        .map(({ received_at }) => received_at ?? '')
        .sort()
        .at(-1) ?? ''
    await print.say(row(slug, [...addons.map((addon) => counts.get(addon) ?? 0), received]))
    await print.give('association', {
      association_slug: slug,
      ...Object.fromEntries(counts),
      last_received_at: received || null,
    })
  }
  await print.say(`${counted(slugs.length, 'association')} in ${plain(root)}. Nothing was checked`)
  return trouble.end(io)
}

type LastRecord = { readonly count: number; readonly received_at?: string }

/** Reads the receipt of the last record only, and not the whole file. */
async function lastOf(root: string, place: Place, trouble: Trouble): Promise<LastRecord> {
  let last: LastRecord = { count: 0 }
  await withRecords(root, place, trouble, async (snapshot) => {
    if (snapshot.size === 0) return
    const line = await lastLine(snapshot)
    const receipt = line && parseReceipt(line)
    if (receipt) last = { count: receipt.sequence, received_at: receipt.received_at }
    else if (snapshot.end > 1)
      trouble.path(
        `${placeName(place)}/records.json`,
        'does not end in a record, so its records were not counted',
      )
  })
  return last
}

async function listRecords(root: string, named: Named, json: boolean, io: Io): Promise<Exit> {
  const print = printer(io, json)
  const trouble = new Trouble()
  for (const place of appendOnlyPlaces(root, named, trouble)) {
    await print.say(placeName(place))
    await eachRecord(root, place, trouble, async (record) => {
      await print.say(glance(record, io.columns))
      await print.give('record', facts(record))
    })
  }
  return trouble.end(io)
}

export function facts({ place, number, receipt, value, sha256 }: ReadRecord): object {
  return {
    addon: place.addon,
    association_slug: place.slug,
    sequence: receipt?.sequence ?? null,
    line: number + 1,
    received_at: receipt?.received_at ?? null,
    participant_id: textMember(value, 'participant_id') ?? null,
    standing: textMember(value, 'standing') ?? null,
    pinned_scenario_ids: member(value, 'pinned_scenario_ids') ?? null,
    g1_tx_hash: member(value, paymentMember) ?? null,
    g1_tx_hash_raw: member(value, 'g1_tx_hash_raw') ?? null,
    record_sha256: sha256(),
  }
}

/** One line for a record. The number, the time and the payment come first, because the end of a line may be cut off. */
export function glance({ number, receipt, value }: ReadRecord, columns: number): string {
  const name = receipt ? String(receipt.sequence) : `line ${number + 1}`
  if (!value || !receipt) return `${name.padStart(6)}  cannot be read as a record`
  const pins = member(value, 'pinned_scenario_ids')
  const cells = [
    name.padStart(6),
    receipt.received_at.slice(0, 16).replace('T', ' '),
    payment(value).padEnd(3),
    textMember(value, 'participant_id') ?? '',
    textMember(value, 'standing') ?? '',
    Array.isArray(pins) ? pins.join(' ') : '',
    (textMember(value, 'narrative') ?? '').slice(0, columns).replace(/\s+/g, ' '),
  ]
  return plain(cells.join('  ')).slice(0, columns)
}

function payment(value: NonNullable<ReadRecord['value']>): string {
  if (member(value, paymentMember)) return 'Ğ1'
  return member(value, 'g1_tx_hash_raw') === undefined ? '--' : 'Ğ1?'
}
