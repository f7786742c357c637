/** Records on paper: what stands in the table, and what was said, verbatim. */
import { paymentMember } from '../../addons.ts'
import { member, textMember } from '../../members.ts'
import type { Shown } from '../desk.ts'
import { inLine, Verbatim } from '../shown-text.tsx'
import { receivedAt } from './parts.tsx'

export function PrintedRecords({ records, more }: { records: readonly Shown[]; more: number }) {
  return (
    <section class="print-only" aria-hidden="true">
      {records.map((shown) => (
        <PrintedRecord key={String(shown.line)} shown={shown} />
      ))}
      {more > 0 && <p>And {more} more records, which are not on this print.</p>}
    </section>
  )
}

function PrintedRecord({ shown: { record, sequence, sha256, text } }: { shown: Shown }) {
  const pins = member(record, 'pinned_scenario_ids')
  const rows: [string, string][] = [
    ['Received', receivedAt(text)],
    ['Submitted', textMember(record, 'submitted_at') ?? ''],
    ['Address', textMember(record, 'participant_id') ?? ''],
    ['Standing', textMember(record, 'standing') ?? ''],
    ['Scenarios', Array.isArray(pins) ? pins.join(', ') : ''],
    ['Payment', textMember(record, paymentMember) ?? 'none'],
    ['SHA-256 of the line', sha256],
  ]
  return (
    <div class="printed">
      <h3>Record {sequence}</h3>
      <dl class="facts">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{inLine(value)}</dd>
          </div>
        ))}
      </dl>
      <Verbatim text={textMember(record, 'narrative') ?? ''} />
    </div>
  )
}
