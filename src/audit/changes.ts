/** `changes`: the records that were received between two dates. */
import type { Command, Exit, Io } from '../cli/io.ts'
import { CannotRun } from '../cli/io.ts'
import { type Parsed, parse } from '../cli/options.ts'
import { plain } from '../cli/plain.ts'
import { counted, type Printer, printer } from '../cli/print.ts'
import { addonsWith, placeName } from './addons.ts'
import { type Named, namedAssociation } from './argument.ts'
import { facts, glance } from './list.ts'
import { receivedAt, textMember } from './members.ts'
import { dataRoot, eachRecord, nameOf, placekeyRecord, placekeysOf, placesIn } from './read.ts'
import { Trouble } from './trouble.ts'

const help = `node scripts/audit.mjs changes [ADDON/]SLUG --from DATE --to DATE [--data DIR] [--json]

What came between two dates: the records that were received then, one a line as in "list", how many there were before and
after, and the files without history (Vital Signs, Diagnostics) whose latest state was received then. What such a file
held before is not kept, so whether it changed more than once cannot be told.

  DATE    2026-07-02 (the whole day, UTC; both days count), or 2026-07-02T06:30:00Z (--from counts, --to does not)

By the receiver's clock, as the receipts have it: the order of the records is certain, the times are not.
Nothing is checked; for that there is verify.`

type TimeSpan = { readonly from: number; readonly until: number }
type ChangeTotals = { before: number; between: number; after: number; payments: number; latest: number }

export const changes: Command = {
  summary: 'what came between two dates',
  help,
  run: async (args, io) => {
    const options = parse(args, { from: { type: 'string' }, to: { type: 'string' } }, 1)
    const named = namedAssociation(options.positionals[0])
    const between = { from: dateOf(options, 'from', 0), until: dateOf(options, 'to', day) }
    if (between.from >= between.until) throw new CannotRun('--from is not before --to')
    return changesOf(dataRoot(options.data), named, between, printer(io, options.json), io)
  },
}

const day = 86_400_000

/** A date in milliseconds since 1970. A day without a time stands for its beginning, plus `added` milliseconds. */
function dateOf(options: Parsed, name: string, added: number): number {
  const text = options.text(name) ?? ''
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text)
  const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.test(text)
  const ms = Date.parse(text)
  // Date.parse reads the 31st of February as the 3rd of March
  const isReal = !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 10) === text.slice(0, 10)
  if (!(isDay || isInstant) || !isReal)
    throw new CannotRun(`--${name} takes a day as 2026-07-02, or a time as 2026-07-02T06:30:00Z`)
  return isDay ? ms + added : ms
}

async function changesOf(
  root: string,
  named: Named,
  between: TimeSpan,
  print: Printer,
  io: Io,
): Promise<Exit> {
  const trouble = new Trouble()
  const totals: ChangeTotals = { before: 0, between: 0, after: 0, payments: 0, latest: 0 }
  const places = placesIn(root, addonsWith('append-only'), named, trouble)
  const others = placesIn(root, addonsWith('overwrite-by-placekey'), named, trouble)
  if (places.length + others.length === 0 && !trouble.any)
    throw new CannotRun(`there is no association of that name below ${root}`)
  for (const place of places) {
    await print.say(placeName(place))
    await eachRecord(root, place, trouble, async (record) => {
      const when = side(record.receipt?.received_at, between)
      if (when === undefined && record.receipt)
        trouble.path(nameOf(record), 'has a time of receipt that is no time')
      if (when === undefined) return
      totals[when]++
      if (when !== 'between') return
      if (textMember(record.value, 'g1_tx_hash') !== undefined) totals.payments++
      await print.say(glance(record, io.columns))
      await print.give('record', facts(record))
    })
  }
  for (const place of others) {
    for (const placekey of placekeysOf(root, place.addon, place.slug, trouble)) {
      const value = placekeyRecord(root, place, placekey, trouble)?.record
      const received_at = value && receivedAt(value)
      if (side(received_at, between) !== 'between') continue
      totals.latest++
      await print.say(plain(`${placeName(place)}/${placekey}: its latest state was received ${received_at}`))
      await print.give('latest', { place: placeName(place), participant_id: placekey, received_at })
    }
  }
  await print.say(
    `${counted(totals.between, 'record')} between the two, ${totals.payments} of them with a payment; ${totals.before} before, ${totals.after} after. ` +
      `${counted(totals.latest, 'file')} without history received then. Nothing was checked`,
  )
  await print.give('summary', {
    from: new Date(between.from).toISOString(),
    until: new Date(between.until).toISOString(),
    ...totals,
  })
  return trouble.end(io)
}

/** Whether a record lies before, between or after the dates; undefined when its `received_at` is no time. */
function side(
  received_at: string | undefined,
  { from, until }: TimeSpan,
): 'before' | 'between' | 'after' | undefined {
  const ms = Date.parse(received_at ?? '')
  if (Number.isNaN(ms)) return undefined
  return ms < from ? 'before' : ms < until ? 'between' : 'after'
}
