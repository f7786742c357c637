/** The end of a run of `verify`: what was checked and compared, what was not checked, and what cannot be known. */
import { resolve } from 'node:path'
import manifest from '../../../package.json' with { type: 'json' }
import { plain } from '../../cli/plain.ts'
import { aligned, counted, type Printer } from '../../cli/print.ts'
import { addonsWith } from '../addons.ts'
import type { Findings } from './findings.ts'
import type { KeptFiles } from './kept.ts'
import { beyond, omissions } from './omissions.ts'
import { vouches } from './stamped.ts'
import type { Verdict } from './verdict.ts'
import type { Totals } from './whole.ts'

export type VerifyRun = {
  readonly root: string
  readonly began: Date
  readonly seconds: number
  readonly kept: KeptFiles
  readonly chainOnly: boolean
  readonly modesChecked: boolean
}

export async function summarise(
  totals: Totals,
  run: VerifyRun,
  findings: Findings,
  print: Printer,
): Promise<void> {
  const { found, notes } = findings.counts
  const verdict = findings.counts.verdict(totals.withoutReceipt === 0)
  const notChecked = omissions(totals, { ...run, receipts: run.kept.expected.filter(vouches).length })
  await print.give('summary', {
    checked_at: run.began.toISOString(),
    directory: resolve(run.root),
    version: manifest.version,
    ...totals,
    seconds: run.seconds,
    receipts: run.kept.expected.length,
    compared_with: run.kept.sources,
    findings: found,
    notes,
    verdict,
    chain_only: run.chainOnly,
    not_checked: notChecked,
    cannot_be_checked: beyond,
  })
  for (const [kind, count] of findings.unsaid)
    await print.say(`… and ${count} more of the kind "${kind}" (--json lists all)`)
  const rate = totals.bytes / 1e6 / run.seconds
  const rows: [string, string][] = [
    ['checked', `${run.began.toISOString()}, ${plain(resolve(run.root))}, by version ${manifest.version}`],
    [
      addonsWith('append-only').join(', '),
      `${counted(totals.associations, 'association')}, ${counted(totals.records, 'record')}, ${(totals.bytes / 1e6).toFixed(1)} MB`,
    ],
    [addonsWith('overwrite-by-placekey').join(', '), counted(totals.files, 'file')],
    ['compared with', comparedWith(run.kept)],
    ...notChecked.map((text, at): [string, string] => [at === 0 ? 'not checked' : '', text]),
    ...beyond.map((text, at): [string, string] => [at === 0 ? 'not to be known' : '', text]),
    ['time', `${run.seconds.toFixed(1)} s${run.seconds > 1 ? `, ${rate.toFixed(0)} MB/s` : ''}`],
    ['result', `${verdictText(verdict, found)} ${counted(found, 'finding')}, ${counted(notes, 'note')}`],
  ]
  await print.say(aligned(rows, { columns: 140 }, 0))
}

function verdictText(verdict: Verdict, found: number): string {
  if (verdict === 'altered') return 'NOT AS IT WAS LEFT: see the findings.'
  if (verdict === 'cannot be told')
    return found > 0
      ? 'CANNOT BE TOLD: see the findings.'
      : 'NOTHING FOUND, and whether all is as it was left CANNOT BE TOLD: see the notes and what was not checked.'
  return `WHOLE: every record of ${addonsWith('append-only').join(', ')}, as far as it was checked. ${addonsWith('overwrite-by-placekey').join(' and ')} have no protection against change.`
}

function comparedWith({ expected, sources }: KeptFiles): string {
  if (expected.length === 0) return 'no receipt and no head from outside'
  return sources
    .map(({ name, count }) => `${plain(name)} (${counted(count, 'receipt or head', 'receipts or heads')})`)
    .join(', ')
}
