/** An address over time: every Scenario with the vital signs of that time, two Scenarios side by side, and the state now. */
import { useLayoutEffect, useState } from 'hono/jsx/dom'
import type { Json, JsonObject } from '../../../../contracts/contract.ts'
import { isObject } from '../../../../contracts/envelope.ts'
import { counted } from '../../../cli/print.ts'
import { addonsWith, type Place, placeName } from '../../addons.ts'
import { member, textMember } from '../../members.ts'
import { everything } from '../columns.ts'
import type { Shown } from '../desk.ts'
import { inLine, Verbatim, visible } from '../shown-text.tsx'
import type { Checked } from '../state.ts'
import { type Heading, minute, Paper, Print, Reading, receivedAt, Wide } from './parts.tsx'
import { headingOf, useFileHash } from './print-heading.ts'
import { Content } from './record.tsx'
import { paymentIn } from './table.tsx'

type Dated = Shown & { readonly place: Place }
/** `total` also counts the records that are not shown. */
type Said = { readonly records: readonly Dated[]; readonly total: number }
type LatestRecord = { readonly path: string; readonly addon: string; readonly record: JsonObject | undefined }

/** At most so many records of an address are shown. The view says that the others are in the table of the association. */
const mostShown = 500

export function Address({
  checked,
  slug,
  participant,
}: {
  checked: Checked
  slug: string
  participant: string
}) {
  const [said, setSaid] = useState<Said | undefined>(undefined)
  const [latest, setLatest] = useState<readonly LatestRecord[]>([])
  const places = checked.report.associations.map(({ place }) => place).filter((place) => place.slug === slug)
  const sha256 = useFileHash(checked, places[0] ?? { addon: 'scn01', slug })
  useLayoutEffect(() => {
    setSaid(undefined)
    void recordsOf(checked, places, participant).then(setSaid)
    void latestOf(checked, slug, participant).then(setLatest)
  }, [slug, participant])
  if (!said) return <Reading what="the records of this address" progress={checked.progress} />
  const { records, total } = said
  const heading: Heading = [
    ...(places[0] ? headingOf(checked, places[0], sha256) : ([['Source', checked.name]] as const)),
    ['Address', participant],
  ]
  return (
    <Paper heading={heading}>
      <h1 tabIndex={-1}>
        {inLine(participant)} <small>{slug}</small>
      </h1>
      <p class="no-print buttons">
        <Print what="this address" sha256={sha256} />
      </p>
      <h2>What this address said: {counted(total, 'record')}</h2>
      {total > records.length && (
        <p class="warning">
          Only the first {records.length} of them are here. All are in the table of the association, by the
          filter “Address”.
        </p>
      )}
      <ol class="timeline">
        {records.map((shown) => (
          <Moment key={`${placeName(shown.place)} ${shown.line}`} shown={shown} />
        ))}
      </ol>
      {records.length > 1 && <Compare records={records} />}
      <Now latest={latest} />
    </Paper>
  )
}

async function recordsOf({ desk }: Checked, places: readonly Place[], participant: string): Promise<Said> {
  const records: Dated[] = []
  let total = 0
  for (const place of places) {
    const { rows } = await desk.find(place, { ...everything, participant })
    total += rows.length
    const room = rows.slice(0, mostShown - records.length)
    for (const shown of await desk.shown(place, room)) records.push({ ...shown, place })
  }
  return { records, total }
}

async function latestOf(
  { desk, report }: Checked,
  slug: string,
  participant: string,
): Promise<LatestRecord[]> {
  const files = report.files.filter((file) => file.slug === slug && file.name === participant)
  return Promise.all(
    files.map(async ({ path, addon }) => ({ path, addon, record: (await desk.latest(path))?.record })),
  )
}

function Moment({ shown }: { shown: Dated }) {
  const { record, sequence, place, text } = shown
  const pins = member(record, 'pinned_scenario_ids')
  return (
    <li>
      <h3>
        <a href={`#/r/${placeName(place)}/${sequence}`}>
          {minute(receivedAt(text))}, record {sequence}
        </a>
      </h3>
      <p class="glance">
        <span>{inLine(Array.isArray(pins) ? pins.join(', ') : '')}</span>
        <span>{inLine(textMember(record, 'standing') ?? '')}</span>
        <span>payment: {paymentIn(record)}</span>
      </p>
      <Verbatim text={textMember(record, 'narrative') ?? ''} />
      <details open>
        <summary>Vital signs as they were then, as the sender gave them</summary>
        <Snapshot record={record} />
      </details>
    </li>
  )
}

const snapshots = ['vs_snapshot', 'dsc_snapshot']

function membersOf(record: JsonObject | undefined): Map<string, Json> {
  const found = new Map<string, Json>()
  for (const name of snapshots) {
    const value = member(record, name)
    if (!isObject(value)) continue
    for (const [field, content] of Object.entries(value)) found.set(`${name} / ${field}`, content)
  }
  return found
}

const shownValue = (value: Json | undefined): string =>
  value === undefined ? '—' : typeof value === 'string' ? value : JSON.stringify(value)

function Snapshot({ record }: { record: JsonObject | undefined }) {
  const fields = [...membersOf(record)]
  if (fields.length === 0) return <p class="no-text">none were sent</p>
  return (
    <table class="members" aria-label="Vital signs">
      <tbody>
        {fields.map(([name, value], index) => (
          <tr key={String(index)}>
            <th scope="row">{visible(name)}</th>
            <td>
              <Verbatim text={shownValue(value)} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Compare({ records }: { records: readonly Dated[] }) {
  const [left, setLeft] = useState(0)
  const [right, setRight] = useState(records.length - 1)
  const [one, two] = [membersOf(records[left]?.record), membersOf(records[right]?.record)]
  const names = [...new Set([...one.keys(), ...two.keys()])]
  const changed = new Set(names.filter((name) => shownValue(one.get(name)) !== shownValue(two.get(name))))
  const choice = (id: string, label: string, value: number, set: (at: number) => void) => (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={String(value)}
        onInput={(event: Event) => set(Number((event.target as HTMLSelectElement).value))}
      >
        {records.map(({ sequence, text }, at) => (
          <option key={String(at)} value={String(at)}>
            {minute(receivedAt(text))}, record {sequence}
          </option>
        ))}
      </select>
    </div>
  )
  return (
    <section aria-labelledby="compare-title">
      <h2 id="compare-title">Two of them side by side</h2>
      <div class="filters no-print">
        {choice('c-left', 'Then', left, setLeft)}
        {choice('c-right', 'Compared with', right, setRight)}
      </div>
      <p role="status">
        {changed.size === 0
          ? 'No vital sign is different.'
          : `${changed.size} of ${names.length} vital signs ${changed.size === 1 ? 'is' : 'are'} different.`}
      </p>
      <SideBySide left={records[left]} right={records[right]} names={names} changed={changed} />
    </section>
  )
}

function SideBySide({
  left,
  right,
  names,
  changed,
}: {
  left: Dated | undefined
  right: Dated | undefined
  names: readonly string[]
  changed: ReadonlySet<string>
}) {
  const [one, two] = [membersOf(left?.record), membersOf(right?.record)]
  return (
    <Wide label="Two snapshots side by side">
      <table class="plain compare">
        <thead>
          <tr>
            <th scope="col">Vital sign</th>
            <th scope="col">Record {left?.sequence}</th>
            <th scope="col">Record {right?.sequence}</th>
            <th scope="col">Changed</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name} class={changed.has(name) ? 'changed' : ''}>
              <th scope="row">{visible(name)}</th>
              <td>
                <Verbatim text={shownValue(one.get(name))} />
              </td>
              <td>
                <Verbatim text={shownValue(two.get(name))} />
              </td>
              <td>{changed.has(name) ? 'changed' : ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Wide>
  )
}

function Now({ latest }: { latest: readonly LatestRecord[] }) {
  return (
    <section aria-labelledby="now-title">
      <h2 id="now-title">The state that is kept now</h2>
      {latest.length === 0 && (
        <p>No file of {addonsWith('overwrite-by-placekey').join(' or ')} for this address.</p>
      )}
      {latest.map(({ path, addon, record }) => (
        <section class="box unprotected" key={path}>
          <h3>{visible(path)}</h3>
          <p class="warning">
            <strong>No history, no protection against change.</strong> Only the latest state is kept; whoever
            can write this file can put anything there, and nothing shows it.
          </p>
          <Content shown={{ record }} addon={addon} />
        </section>
      ))}
    </section>
  )
}
