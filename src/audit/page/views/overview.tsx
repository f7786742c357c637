/** The first view after the check: the verdict, what it is based on, and the associations at a glance. */

import { counted } from '../../../cli/print.ts'
import { addonsWith, placeName } from '../../addons.ts'
import { firstAnswer, headLine, verdictWords } from '../answer.ts'
import type { Actions, Checked } from '../state.ts'
import { classOf, Findings, Paper, Picture, Sign, saveAs, VerdictMark, Wide } from './parts.tsx'
import { Receipts } from './receipts.tsx'
import { Stamps } from './stamps.tsx'

export function Overview({ checked, actions }: { checked: Checked; actions: Actions }) {
  const { report, name } = checked
  const heading = [
    ['Source', name],
    ['Checked', `${report.checked_at}, auditor.html ${report.version}`],
    ['Verdict', `${verdictWords[report.verdict]}. ${firstAnswer(report)}`],
  ] as const
  return (
    <Paper heading={heading}>
      <section class={`verdict ${classOf(report.verdict)}`} aria-labelledby="verdict-title" role="status">
        <Sign verdict={report.verdict} />
        <div>
          <h1 id="verdict-title" tabIndex={-1}>
            {verdictWords[report.verdict]}
          </h1>
          <p>{firstAnswer(report)}</p>
        </div>
      </section>
      <Associations checked={checked} />
      <Findings of={report.findings} title="What was found" />
      <Receipts report={report} actions={actions} />
      <Stamps of={report.stamps_not_checked} />
      <Scope checked={checked} />
      <p class="buttons no-print">
        <button type="button" onClick={() => saveAs('verification-report.json', reportBlob(checked))}>
          Save the report (JSON)
        </button>
        <button type="button" onClick={() => window.print()}>
          Print this page
        </button>
        <button type="button" onClick={actions.startAgain}>
          Open something else
        </button>
      </p>
    </Paper>
  )
}

function reportBlob({ report, name }: Checked): Blob {
  const heads = report.associations
    .filter(({ verdict }) => verdict !== 'altered')
    .flatMap((each) => headLine(each) ?? [])
  const { associations, files, ...others } = report
  const places = associations.map(({ place, records, bytes, verdict }) => ({
    place: placeName(place),
    records,
    bytes,
    verdict,
  }))
  const text = JSON.stringify(
    { type: 'verification-report', source: name, ...others, associations: places, heads },
    null,
    2,
  )
  return new Blob([`${text}\n`], { type: 'application/json' })
}

function Associations({ checked }: { checked: Checked }) {
  const { report } = checked
  const latest = slugsWithoutRecords(report)
  if (report.associations.length + latest.length === 0) return null
  return (
    <section aria-labelledby="associations-title">
      <h2 id="associations-title">Associations</h2>
      <Wide label="Table of associations">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Association</th>
              <th scope="col" class="number">
                Records
              </th>
              <th scope="col">Received</th>
              <th scope="col">Last received</th>
              <th scope="col">Result</th>
            </tr>
          </thead>
          <tbody>
            {report.associations.map(({ place, records, days, last, verdict }) => (
              <tr key={placeName(place)}>
                <th scope="row">
                  <a href={`#/a/${placeName(place)}`}>{place.slug}</a>
                  <small>{place.addon}</small>
                </th>
                <td class="number">{records.toLocaleString('en-US')}</td>
                <td>
                  <Picture days={days} />
                </td>
                <td>{last?.received_at.slice(0, 10) ?? ''}</td>
                <td>
                  <VerdictMark verdict={verdict} />
                </td>
              </tr>
            ))}
            {latest.map((slug) => (
              <tr key={`latest ${slug}`}>
                <th scope="row">{slug}</th>
                <td colspan={4}>no Scenarios; only the latest state of addresses</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Wide>
    </section>
  )
}

function slugsWithoutRecords({ associations, files }: Checked['report']): string[] {
  const known = new Set(associations.map(({ place }) => place.slug))
  return [...new Set(files.map(({ slug }) => slug))].filter((slug) => !known.has(slug))
}

/** Says what was checked and compared, what was not checked, and what nobody can check. */
function Scope({ checked: { report, name } }: { checked: Checked }) {
  const { totals } = report
  const rows: [string, readonly string[]][] = [
    [
      'Checked',
      [`${report.checked_at}, “${name}”, by version ${report.version}, in ${report.seconds.toFixed(1)} s`],
    ],
    [
      addonsWith('append-only').join(', '),
      [
        `${counted(totals.associations, 'association')}, ${counted(totals.records, 'record')}, ${(totals.bytes / 1e6).toFixed(1)} MB`,
      ],
    ],
    [addonsWith('overwrite-by-placekey').join(', '), [counted(totals.files, 'file')]],
    [
      'Compared with',
      report.compared_with.length === 0
        ? ['no receipt and no head from outside']
        : report.compared_with.map(
            (each) => `${each.name} (${counted(each.count, 'receipt or head', 'receipts or heads')})`,
          ),
    ],
    ['Not checked', report.not_checked],
    ['Not to be known', report.cannot_be_checked],
  ]
  return (
    <section aria-labelledby="scope-title">
      <h2 id="scope-title">What this answer stands on</h2>
      <dl class="scope">
        {rows.map(([name, texts]) => (
          <div key={name}>
            <dt>{name}</dt>
            {texts.map((text, index) => (
              <dd key={String(index)}>{text}</dd>
            ))}
          </div>
        ))}
      </dl>
    </section>
  )
}
