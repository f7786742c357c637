/** Records for the printer, each with everything that was sent, as the view of one record shows it. */
import type { Place } from '../../addons.ts'
import type { Shown } from '../desk.ts'
import { Content } from './record.tsx'

type Printed = {
  readonly place: Place
  readonly records: readonly Shown[]
  /** The number of records that pass the filter and are not on this print. */
  readonly more: number
}

export function PrintedRecords({ place, records, more }: Printed) {
  return (
    <section class="print-only" aria-hidden="true">
      {records.map((shown) => (
        <div class="printed" key={String(shown.line)}>
          <h2>Record {shown.sequence}</h2>
          <p>SHA-256 of the stored line, said by this page: {shown.sha256}</p>
          <Content shown={shown} addon={place.addon} />
        </div>
      ))}
      {more > 0 && <p>And {more} more records, which are not on this print.</p>}
    </section>
  )
}
