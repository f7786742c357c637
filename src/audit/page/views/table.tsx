/**
 * Shows the records as a table of any length. Only the visible rows are in the page, between two spacers. A browser limits the
 * height of a page, so a very long table is divided into parts.
 */
import { useLayoutEffect, useRef, useState } from 'hono/jsx/dom'
import { type Place, paymentMember, placeName } from '../../addons.ts'
import { member, textMember } from '../../members.ts'
import type { Shown } from '../desk.ts'
import { inLine } from '../shown-text.tsx'
import type { Checked } from '../state.ts'
import { minute, receivedAt } from './parts.tsx'

const rowHeight = 40
const seen = 26
/** So many rows above and below the visible ones are drawn, so that a little scrolling draws nothing new. */
const spare = 10
const part = 400_000
const columns = ['No.', 'Received', 'Submitted', 'Address', 'Standing', 'Scenarios', 'Payment', 'Narrative']

type Rows = { readonly checked: Checked; readonly place: Place; readonly rows: readonly number[] }

export function RecordTable({ checked, place, rows }: Rows) {
  const [newestFirst, setNewestFirst] = useState(false)
  const [at, setAt] = useState(0)
  const [top, setTop] = useState(0)
  const box = useRef<HTMLElement>(null)
  const parts = Math.max(1, Math.ceil(rows.length / part))
  const within = Math.min(at, parts - 1)
  const length = Math.min(part, rows.length - within * part)
  const rowAt = (index: number): number => {
    const from = within * part + index
    return rows[newestFirst ? rows.length - 1 - from : from] as number
  }
  const first = Math.max(0, Math.min(top - spare, length - seen - 2 * spare))
  const last = Math.min(length, first + seen + 2 * spare)
  const wanted = Array.from({ length: Math.max(0, last - first) }, (_, index) => rowAt(first + index))
  const records = useRecords(checked, place, wanted)
  useLayoutEffect(() => {
    if (box.current) box.current.scrollTop = 0
    setTop(0)
  }, [rows, within, newestFirst])
  const scrolled = (event: Event): void => {
    const row = Math.floor((event.target as HTMLElement).scrollTop / rowHeight)
    if (Math.abs(row - top) >= spare / 2) setTop(row)
  }
  return (
    <div>
      <p class="buttons">
        <button type="button" onClick={() => setNewestFirst(!newestFirst)}>
          {newestFirst ? 'Oldest first' : 'Newest first'}
        </button>
        {parts > 1 && <Parts count={parts} at={within} choose={setAt} />}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reached by the keyboard */}
      <section class="scroll" ref={box} onScroll={scrolled} aria-label="Table of records" tabIndex={0}>
        <table class="records" aria-rowcount={rows.length + 1}>
          <Head />
          <tbody>
            <Spacer rows={first} />
            {wanted.map((row, index) => (
              <Row
                key={String(row)}
                place={place}
                shown={records.get(row)}
                at={within * part + first + index + 2}
              />
            ))}
            <Spacer rows={length - last} />
          </tbody>
        </table>
      </section>
    </div>
  )
}

function Head() {
  return (
    <thead>
      <tr aria-rowindex={1}>
        {columns.map((name) => (
          <th scope="col" key={name}>
            {name}
          </th>
        ))}
      </tr>
    </thead>
  )
}

/** The buttons for the parts of a very long table. */
function Parts({ count, at, choose }: { count: number; at: number; choose: (at: number) => void }) {
  return (
    <>
      {Array.from({ length: count }, (_, index) => (
        <button type="button" key={String(index)} aria-pressed={index === at} onClick={() => choose(index)}>
          Part {index + 1}
        </button>
      ))}
    </>
  )
}

/** Asks for records that are not known yet, and keeps those that were shown last. */
function useRecords({ desk }: Checked, place: Place, wanted: readonly number[]): ReadonlyMap<number, Shown> {
  const [records, setRecords] = useState<ReadonlyMap<number, Shown>>(new Map())
  const key = `${placeName(place)} ${wanted.length} ${wanted[0]} ${wanted.at(-1)}`
  useLayoutEffect(() => {
    let current = true
    const missing = wanted.filter((row) => !records.has(row))
    if (missing.length > 0)
      void desk.shown(place, missing).then((found) => {
        if (!current) return
        const kept = wanted
          .filter((row) => records.has(row))
          .map((row) => [row, records.get(row) as Shown] as const)
        setRecords(new Map([...kept, ...missing.map((row, index) => [row, found[index] as Shown] as const)]))
      })
    return () => {
      current = false
    }
  }, [key])
  return records
}

function Spacer({ rows }: { rows: number }) {
  return (
    <tr class="spacer">
      <td colspan={8} style={{ height: `${rows * rowHeight}px` }} />
    </tr>
  )
}

function Row({ place, shown, at }: { place: Place; shown: Shown | undefined; at: number }) {
  if (!shown)
    return (
      <tr aria-rowindex={at}>
        <td colspan={8}>…</td>
      </tr>
    )
  const { record, sequence, line, text } = shown
  const pins = member(record, 'pinned_scenario_ids')
  const address = textMember(record, 'participant_id') ?? ''
  return (
    <tr aria-rowindex={at}>
      <th scope="row">
        <a href={sequence > 0 ? `#/r/${placeName(place)}/${sequence}` : `#/l/${placeName(place)}/${line}`}>
          {sequence}
        </a>
      </th>
      <td>{minute(receivedAt(text))}</td>
      <td>{inLine(minute(textMember(record, 'submitted_at') ?? ''))}</td>
      <td>
        <a href={`#/p/${place.slug}/${encodeURIComponent(address)}`}>{inLine(address)}</a>
      </td>
      <td>{inLine(textMember(record, 'standing') ?? '')}</td>
      <td>{inLine(Array.isArray(pins) ? pins.join(' ') : '')}</td>
      <td>{paymentIn(record)}</td>
      <td dir="auto">{inLine((textMember(record, 'narrative') ?? '').slice(0, 300))}</td>
    </tr>
  )
}

export function paymentIn(record: Shown['record']): string {
  if (textMember(record, paymentMember) !== undefined) return 'Ğ1'
  return member(record, 'g1_tx_hash_raw') === undefined ? 'none' : 'no hash'
}
