/** Makes two years of three associations from a seed: who sends which envelope, and when. The same seed gives the same story. */
import { createHash } from 'node:crypto'
import type { JsonObject } from '../../contracts/contract.ts'
import { type Random, random } from '../../test/faults/random.ts'
import { months, type Topic, topics } from './texts.ts'

/** An envelope, and the time at which the node sends it. */
export type Sent = { readonly at: number; readonly envelope: JsonObject }

type Home = {
  readonly slug: string
  readonly channel: string
  readonly placekey: string
  readonly vital: Record<string, string>
  readonly diagnostic: Record<string, string>
}

const associations = [
  {
    slug: 'heron-ridge-condominium',
    channel: '118',
    kind: 'condominium',
    homes: 18,
    units: 214,
    since: 1987,
  },
  {
    slug: 'plum-grove-townhomes',
    channel: '131',
    kind: 'common_interest',
    homes: 13,
    units: 96,
    since: 1994,
  },
  { slug: 'elm-court-cooperative', channel: '142', kind: 'cooperative', homes: 9, units: 48, since: 1971 },
]

const day = 86_400_000
const began = Date.parse('2024-07-01T00:00:00Z')
export const ended = Date.parse('2026-07-01T00:00:00Z')
const scenarios = 210

export function storyOf(seed: number): readonly Sent[] {
  const chance = random(seed)
  const homes = associations.flatMap((association) =>
    Array.from({ length: association.homes }, () => homeIn(association, chance)),
  )
  const plan: { at: number; send: (at: number) => JsonObject[] }[] = []
  for (const home of homes) {
    plan.push({
      at: timeOf(chance, began, began + 60 * day),
      send: (at) => [vital(home, at), diagnostic(home, at)],
    })
    if (chance.oneIn(2))
      plan.push({ at: timeOf(chance, began + 200 * day, ended), send: (at) => seenAgain(home, at, chance) })
  }
  for (let n = 0; n < scenarios; n++) {
    const home = chance.of(homes)
    plan.push({ at: timeOf(chance, began + 61 * day, ended), send: (at) => scenario(home, at, chance) })
  }
  plan.sort((a, b) => a.at - b.at)
  return plan.flatMap(({ at, send }) =>
    send(at).map((envelope, n) => ({ at: at + 1_000 * n + 400 + chance.below(500), envelope })),
  )
}

/** A random time during a day. */
function timeOf(chance: Random, from: number, until: number): number {
  const date = from + chance.below((until - from) / day) * day
  return date + (13 + chance.below(10)) * 3_600_000 + chance.below(3_600) * 1_000
}

const letters = '23456789bcdfghjkmnpqrstvwxyz'

function homeIn(association: (typeof associations)[number], chance: Random): Home {
  const three = (): string => Array.from({ length: 3 }, () => letters[chance.below(letters.length)]).join('')
  const year = String(2008 + chance.below(15))
  return {
    slug: association.slug,
    channel: association.channel,
    placekey: `${three()}@${three()}-${three()}-${three()}`,
    vital: {
      ho_claimed_type: association.kind,
      ho_claimed_source: JSON.stringify([chance.of(['management_company', 'board', 'closing_documents'])]),
      ho_claimed_date: `${year}-${String(1 + chance.below(12)).padStart(2, '0')}-${String(1 + chance.below(28)).padStart(2, '0')}`,
      ho_conflicting_claims: chance.oneIn(3) ? 'yes' : 'no',
      ho_unit_count_told: String(association.units),
      ho_declaration_seen: chance.oneIn(3) ? 'no' : 'yes',
      ho_notes: chance.oneIn(4)
        ? `Declaration recorded in ${association.since}; I have amendments 1 and 2.`
        : '',
    },
    diagnostic: {},
  }
}

const iso = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}+00:00`

function common(addon: string, { slug, channel, placekey }: Home, at: number): JsonObject {
  return {
    addon,
    contract_version: '1.0',
    association_slug: slug,
    association_channel_id: channel,
    participant_id: placekey,
    submitted_at: iso(at),
    standing: 'participant',
  }
}

function vital(home: Home, at: number): JsonObject {
  return {
    ...common('vs01', home, at),
    vs_code: 'VS-01',
    perspective: 'homeowner',
    fields: { ...home.vital },
  }
}

function diagnostic(home: Home, at: number): JsonObject {
  if (Object.keys(home.diagnostic).length === 0) {
    home.diagnostic.dsc_codes = '[]'
    home.diagnostic.case_opened = iso(at).slice(0, 10)
  }
  return { ...common('dsc01', home, at), fields: { ...home.diagnostic } }
}

/** A year later somebody has seen the declaration or learned of another claim. */
function seenAgain(home: Home, at: number, chance: Random): JsonObject[] {
  home.vital.ho_declaration_seen = 'yes'
  if (chance.oneIn(2)) home.vital.ho_conflicting_claims = 'yes'
  home.vital.ho_notes = `Read the declaration on ${iso(at).slice(0, 10)}.`
  return [vital(home, at)]
}

/** A Scenario. If its topic is new for the address, the Diagnostics with the topic come first, in the order in which the addon sends. */
function scenario(home: Home, at: number, chance: Random): JsonObject[] {
  const topic = chance.of(topics)
  const codes = new Set(JSON.parse(home.diagnostic.dsc_codes ?? '[]') as string[])
  const isNew = !codes.has(topic.code)
  home.diagnostic.dsc_codes = JSON.stringify([...codes.add(topic.code)].sort())
  home.diagnostic.case_title = topic.title
  const paid = chance.below(10)
  const record: JsonObject = {
    ...common('scn01', home, at + (isNew ? 1_000 : 0)),
    pinned_scenario_ids: [chance.of(topic.scenarios)],
    narrative: narrative(topic, at, chance),
    vs_snapshot: { ...home.vital },
    dsc_snapshot: { ...home.diagnostic },
    g1_tx_hash: paid < 3 ? hashOf(home, at) : paid === 9 && chance.oneIn(6) ? 'paid by bank transfer' : null,
  }
  return isNew ? [diagnostic(home, at), record] : [record]
}

/** A payment hash. It is made up, so no chain knows this transfer. */
function hashOf({ placekey }: Home, at: number): string {
  return `0x${createHash('sha256').update(`sample ${placekey} ${at}`).digest('hex')}`
}

function narrative({ begin, middle, end }: Topic, at: number, chance: Random): string {
  const first = chance.below(middle.length - 1)
  const second = first + 1 + chance.below(middle.length - first - 1)
  const paragraphs = [`${chance.of(begin)} ${middle[first]} ${middle[second]}`, chance.of(end)]
  const money = (from: number, until: number): string =>
    `$${(from + chance.below(until - from)).toLocaleString('en-US')}.${chance.of(['00', '50', '18', '75'])}`
  const slots: Record<string, () => string> = {
    year: () => String(2015 + chance.below(8)),
    month: () => months[(new Date(at).getUTCMonth() + 12 - 1 - chance.below(3)) % 12] as string,
    day: () => String(4 + chance.below(16)),
    amount: () => money(180, 900),
    fee: () => money(25, 120),
    sum: () => money(1_000, 48_000),
    legal: () => money(350, 900),
  }
  return paragraphs.join('\n\n').replace(/\{(\w+)\}/g, (_, name: string) => (slots[name] as () => string)())
}
