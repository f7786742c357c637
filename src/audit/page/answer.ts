/** The first answer of the page: one sentence about all opened files, for a person who has never seen a hash. */
import { counted } from '../../cli/print.ts'
import { placeName } from '../addons.ts'
import type { Finding } from '../verify/finding.ts'
import type { Verdict } from '../verify/verdict.ts'
import type { Report } from './check.ts'

export const verdictWords: Readonly<Record<Verdict, string>> = {
  whole: 'Whole',
  altered: 'Not as it was left',
  'cannot be told': 'Cannot be told',
}

export function firstAnswer({ verdict, findings, totals, compared_with }: Report): string {
  const told = findings.filter(({ level }) => level === 'finding')
  if (verdict === 'whole')
    return `${counted(totals.records, 'record is', 'records are')} there as acknowledged, up to the receipts and heads that were given.`
  if (verdict === 'altered') return `${about(told)} This is not what the receiver left.`
  if (told.length > 0)
    return `${about(told)} Nothing else was found, and from these files alone nobody can know more.`
  if (totals.withoutReceipt > 0 && compared_with.length === 0)
    return `Nothing was found that is altered. But no receipt and no head from outside was given, and without one a file that was rewritten as a whole looks like this, too.`
  if (totals.withoutReceipt > 0)
    return `Nothing was found that is altered. But for ${counted(totals.withoutReceipt, 'association')} no receipt and no head was given.`
  return 'Nothing was found that is altered. But not everything is vouched for from outside: see the notes.'
}

/** The first finding in words, and how many more there are. */
function about(told: readonly Finding[]): string {
  const [first, ...others] = [...told].sort((a, b) => weight(a) - weight(b))
  if (!first) return ''
  const where = first.path.replace(/\/records\.json$/, '')
  const which = first.record === undefined ? '' : `record ${first.record} `
  const more = others.length === 0 ? '' : ` And ${counted(others.length, 'more finding')}.`
  return `In ${where}, ${which}${which ? first.what : asSentence(first.what)}.${more}`
}

/** Makes a sentence of a finding that begins with a verb, whose subject is the file. */
const asSentence = (what: string): string =>
  /^(is|has|does|holds|cannot|was)\b/.test(what) ? `a file ${what}` : what

/** The order of findings: changes to a record come before changes to a file. */
const weight = ({ kind }: Finding): number => {
  const order = [
    'altered',
    'rewritten',
    'missing',
    'shortened',
    'inserted',
    'moved',
    'hidden',
    'rewritten as a whole',
  ]
  const at = order.indexOf(kind)
  return at === -1 ? order.length : at
}

/** A head such as `scn01/heron-ridge:12:…`, to be kept and compared later. */
export function headLine({ place, last }: Report['associations'][number]): string | undefined {
  return last && last.sequence > 0 ? `${placeName(place)}:${last.sequence}:${last.sha256}` : undefined
}
