/** Compares two dates: shows the records that came between them. */
import { useLayoutEffect, useState } from 'hono/jsx/dom'
import { counted } from '../../../cli/print.ts'
import { type Place, placeName } from '../../addons.ts'
import { receivedAt as receivedOf } from '../../members.ts'
import { everything } from '../columns.ts'
import { visible } from '../shown-text.tsx'
import type { Checked } from '../state.ts'
import { Day } from './filters.tsx'
import { Paper } from './parts.tsx'
import { headingOf, useFileHash } from './print-heading.ts'
import { RecordTable } from './table.tsx'

type Between = {
  readonly rows: readonly number[]
  readonly before: number
  readonly after: number
  readonly payments: number
  readonly latest: readonly { readonly path: string; readonly received_at: string }[]
}

export function TwoDates({ checked, place }: { checked: Checked; place: Place }) {
  const days =
    checked.report.associations.find((each) => placeName(each.place) === placeName(place))?.days ?? []
  const [from, setFrom] = useState(days[0]?.[0] ?? '')
  const [to, setTo] = useState(days.at(-1)?.[0] ?? '')
  const [between, setBetween] = useState<Between | undefined>(undefined)
  const sha256 = useFileHash(checked, place)
  useLayoutEffect(() => {
    let current = true
    void betweenOf(checked, place, from, to).then((found) => {
      if (current) setBetween(found)
    })
    return () => {
      current = false
    }
  }, [from, to, placeName(place)])
  return (
    <Paper
      heading={[
        ...headingOf(checked, place, sha256),
        ['Between', `${from} and ${to}, both days counted, UTC`],
      ]}
    >
      <h1 tabIndex={-1}>
        What came between two dates <small>{placeName(place)}</small>
      </h1>
      <div class="filters">
        <Day id="d-from" label="From (this day counts)" value={from} set={setFrom} />
        <Day id="d-to" label="To (this day counts)" value={to} set={setTo} />
      </div>
      <p class="hint">
        By the receiver’s clock, as the receipts have it: the order of the records is certain, the times are
        not.
      </p>
      {between && (
        <div>
          <p role="status">
            <strong>{counted(between.rows.length, 'record')} between the two</strong>, {between.payments} of
            them with a payment; {between.before} before, {between.after} after.
          </p>
          <RecordTable checked={checked} place={place} rows={between.rows} />
          <h2>Files without history that were received then</h2>
          {between.latest.length === 0 && <p>None.</p>}
          <ul>
            {between.latest.map(({ path, received_at }) => (
              <li key={path}>
                {visible(path)}: its latest state was received {visible(received_at)}. What it held before is
                not kept.
              </li>
            ))}
          </ul>
        </div>
      )}
    </Paper>
  )
}

async function betweenOf(
  { desk, report }: Checked,
  place: Place,
  from: string,
  to: string,
): Promise<Between> {
  const filter = { ...everything, receivedFrom: from, receivedTo: to }
  const { rows, total } = await desk.find(place, filter)
  const payments = (await desk.find(place, { ...filter, payment: 'named' })).rows.length
  const untilTo = (await desk.find(place, { ...everything, receivedTo: to })).rows.length
  const latest: { path: string; received_at: string }[] = []
  for (const { path, slug } of report.files) {
    if (slug !== place.slug) continue
    const record = (await desk.latest(path))?.record
    const received_at = record && receivedOf(record)
    const day = received_at?.slice(0, 10) ?? ''
    if (received_at !== undefined && (from === '' || day >= from) && (to === '' || day <= to))
      latest.push({ path, received_at })
  }
  return { rows, payments, before: untilTo - rows.length, after: total - untilTo, latest }
}
