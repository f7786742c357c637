/** One association: its findings, and its records as a table that can be searched, filtered, saved and printed. */
import { useLayoutEffect, useState } from 'hono/jsx/dom'
import { counted } from '../../../cli/print.ts'
import { type Place, placeName } from '../../addons.ts'
import { everything, type Filter } from '../columns.ts'
import type { Found, Shown } from '../desk.ts'
import { type Checked, findingsIn } from '../state.ts'
import { Filters } from './filters.tsx'
import { Findings, Paper, Picture, Print, Reading, saveAs, VerdictMark } from './parts.tsx'
import { headingOf, useFileHash } from './print-heading.ts'
import { PrintedRecords } from './printed.tsx'
import { RecordTable } from './table.tsx'

/** A print has at most so many records; the CSV has all. */
const mostPrinted = 2_000

export function Association({ checked, place }: { checked: Checked; place: Place }) {
  const { desk, report } = checked
  const [filter, setFilter] = useState<Filter>(everything)
  const [printed, setPrinted] = useState<readonly Shown[] | undefined>(undefined)
  const [busy, setBusy] = useState('')
  const sha256 = useFileHash(checked, place)
  const found = useFound(checked, place, filter)
  useLayoutEffect(() => setPrinted(undefined), [filter])
  useLayoutEffect(() => {
    if (printed) requestAnimationFrame(() => window.print())
  }, [printed])
  const mine = report.associations.find((each) => placeName(each.place) === placeName(place))
  if (!mine) return <p>There are no records of {placeName(place)}.</p>
  const print = async (): Promise<void> => {
    setBusy('Making the print …')
    setPrinted(await desk.shown(place, (found?.rows ?? []).slice(0, mostPrinted)))
    setBusy('')
  }
  const csv = async (): Promise<void> => {
    setBusy('Making the table …')
    saveAs(`${place.slug}.csv`, await desk.csv(place, found?.rows ?? []))
    setBusy('')
  }
  return (
    <Paper heading={headingOf(checked, place, sha256)}>
      <h1 tabIndex={-1}>
        {place.slug} <small>{place.addon}</small>
      </h1>
      <Glance place={place} of={mine} />
      <Findings of={findingsIn(report, place)} title="What was found about this association" />
      <section aria-labelledby="records-title" class="no-print">
        <h2 id="records-title">Records</h2>
        {found ? (
          <div>
            <Filters filter={filter} choices={found.choices} change={setFilter} />
            <p role="status">{shownOf(found)}</p>
            <RecordTable checked={checked} place={place} rows={found.rows} />
          </div>
        ) : (
          <Reading what="the records" progress={checked.progress} />
        )}
        <p class="buttons">
          <button type="button" disabled={!found || found.rows.length === 0} onClick={csv}>
            Save this table (CSV)
          </button>
          <Print what="these records" sha256={sha256} isReady={found?.rows.length !== 0} print={print} />
          <span role="status">{busy}</span>
        </p>
        <p class="hint">
          In the CSV no cell acts as a formula. A spreadsheet still changes long numbers, leading zeros and
          what looks like a date: import every column as text.
        </p>
      </section>
      {printed && (
        <PrintedRecords place={place} records={printed} more={(found?.rows.length ?? 0) - printed.length} />
      )}
    </Paper>
  )
}

/** The records that pass the filter; undefined until the desk has answered. */
function useFound({ desk }: Checked, place: Place, filter: Filter): Found | undefined {
  const [found, setFound] = useState<Found | undefined>(undefined)
  useLayoutEffect(() => {
    let current = true
    void desk.find(place, filter).then((answer) => {
      if (current) setFound(answer)
    })
    return () => {
      current = false
    }
  }, [filter, placeName(place)])
  return found
}

function Glance({ place, of }: { place: Place; of: Checked['report']['associations'][number] }) {
  return (
    <p class="glance">
      <VerdictMark verdict={of.verdict} />
      <span>{counted(of.records, 'record')}</span>
      <Picture days={of.days} />
      <a href={`#/d/${placeName(place)}`} class="no-print">
        Compare two dates
      </a>
    </p>
  )
}

/** How many records pass the filter, and of how many. */
function shownOf({ rows, total }: Found): string {
  const all = counted(total, 'record')
  return rows.length === total ? all : `${rows.length.toLocaleString('en-US')} of ${all}`
}
