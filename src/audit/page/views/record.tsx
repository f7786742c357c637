/**
 * Shows one record as it was sent. Four boxes with headings keep apart what the page says, what the receiver wrote, what was
 * sent under the contract, and what was sent besides. So nobody can forge a verdict by giving a member the name of one.
 */
import { useLayoutEffect, useState } from 'hono/jsx/dom'
import { type Place, paymentMember, placeName } from '../../addons.ts'
import { contentDigest } from '../../g1/digest.ts'
import { textMember } from '../../members.ts'
import { parted } from '../../parted.ts'
import type { Shown } from '../desk.ts'
import { Members, visible } from '../shown-text.tsx'
import { type Checked, findingsIn } from '../state.ts'
import { Findings, Paper, Print } from './parts.tsx'
import { headingOf, useFileHash } from './print-heading.ts'

type Which = { readonly sequence: number } | { readonly line: number }

export function RecordView({ checked, place, which }: { checked: Checked; place: Place; which: Which }) {
  const isRecord = 'sequence' in which
  const number = isRecord ? which.sequence : which.line
  /** Names the current question, so that the answer to an earlier question is not shown under this one. */
  const asked = `${placeName(place)} ${isRecord ? 'Record' : 'Line'} ${number}`
  const [answer, setAnswer] = useState<
    { readonly to: string; readonly shown: Shown | undefined } | undefined
  >(undefined)
  useLayoutEffect(() => {
    const asking = isRecord ? checked.desk.record(place, number) : checked.desk.line(place, number)
    void asking.then((shown) => setAnswer({ to: asked, shown }))
  }, [asked])
  const isCurrent = answer?.to === asked
  const title = isRecord ? `Record ${number}` : `Line ${number}`
  return (
    <div>
      {!isCurrent && <p role="status">Reading …</p>}
      {isCurrent && !answer.shown && (
        <p>
          {title} of {placeName(place)} is not there. <a href={`#/a/${placeName(place)}`}>All records</a>
        </p>
      )}
      {isCurrent && answer.shown && (
        <Sheet
          checked={checked}
          place={place}
          shown={answer.shown}
          title={title}
          sequence={isRecord ? number : undefined}
        />
      )}
    </div>
  )
}

type SheetOf = {
  readonly checked: Checked
  readonly place: Place
  readonly shown: Shown
  readonly title: string
  /** Undefined for a line that is no record of the chain. */
  readonly sequence: number | undefined
}

function Sheet({ checked, place, shown, title, sequence }: SheetOf) {
  const sha256 = useFileHash(checked, place)
  const findings = findingsIn(checked.report, place).filter(
    ({ record, line }) => (sequence !== undefined && record === sequence) || line === shown.line,
  )
  const address = textMember(shown.record, 'participant_id')
  return (
    <Paper heading={[...headingOf(checked, place, sha256), ['SHA-256 of this line', shown.sha256]]}>
      <h1 tabIndex={-1}>
        {title} <small>{placeName(place)}</small>
      </h1>
      <p class="no-print buttons">
        {sequence !== undefined && sequence > 1 && (
          <a href={`#/r/${placeName(place)}/${sequence - 1}`}>Record {sequence - 1}</a>
        )}
        {sequence !== undefined && (
          <a href={`#/r/${placeName(place)}/${sequence + 1}`}>Record {sequence + 1}</a>
        )}
        {address !== undefined && (
          <a href={`#/p/${place.slug}/${encodeURIComponent(address)}`}>This address over time</a>
        )}
        <Print what="this record" sha256={sha256} />
      </p>
      <Said shown={shown} findings={findings.length} isAllTold={isAllTold(checked, place)} />
      <Findings of={findings} title="What was found about this record" />
      <Content shown={shown} addon={place.addon} />
      <details class="no-print">
        <summary>The stored line, byte for byte</summary>
        <pre class="sent">{visible(shown.text)}</pre>
      </details>
    </Paper>
  )
}

/** Whether each finding about this association is listed, and each of its records was judged. */
const isAllTold = ({ report }: Checked, place: Place): boolean =>
  !findingsIn(report, place).some(({ kind }) => kind === 'more')

type SaidOf = { readonly shown: Shown; readonly findings: number; readonly isAllTold: boolean }

function Said({ shown, findings, isAllTold }: SaidOf) {
  const { record, sha256, line } = shown
  const rows: [string, string][] = [
    ['SHA-256 of the stored line', sha256],
    ['Line of the file', String(line)],
    [
      'Findings',
      findings > 0
        ? `${findings}, below`
        : isAllTold
          ? 'none about this record: its contract, its id and its place in the chain were checked'
          : 'none about this record, but so much is wrong in this file that not all of it was judged',
    ],
  ]
  if (record && textMember(record, paymentMember) !== undefined)
    rows.push(['Comment that a wallet may put into the transfer', `scn01:${contentDigest(record).slice(2)}`])
  return (
    <section class="box said" aria-labelledby="said-title">
      <h2 id="said-title">Said by this page</h2>
      <dl class="facts">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

export function Content({ shown, addon }: { shown: Pick<Shown, 'record'>; addon: string }) {
  if (!shown.record)
    return (
      <p class="trouble">This cannot be read as a JSON object. The stored line is below, as it stands.</p>
    )
  const { sent, unnamed, written } = parted(shown.record, addon)
  return (
    <div>
      <section class="box by-receiver">
        <h2>Written by the receiver</h2>
        <Members of={written} caption="Written by the receiver" />
      </section>
      <section class="box as-sent">
        <h2>Sent, as the contract names it</h2>
        <Members of={sent} caption="Sent, as the contract names it" />
      </section>
      {Object.keys(unnamed).length > 0 && (
        <section class="box not-named">
          <h2>Sent by the participant’s side, named by no contract, not checked</h2>
          <Members of={unnamed} caption="Sent, named by no contract, not checked" />
        </section>
      )}
    </div>
  )
}
