/**
 * Judges the records of one association by time stamps of heads (RFC 3161). A stamp shows that the head, and every record up to
 * it, existed at a certain time. Records that do not match a stamped head were altered after that time.
 *
 * A person who can write the records can also make an authority of their own. So a stamp *vouches* for records only under a
 * certificate that the auditor brought. A stamp that was checked only with the certificate beside it can show an alteration,
 * and vouches for nothing.
 */
import type { ChainReport, Link } from './chain.ts'
import type { Expectation, TimeStamp } from './expectations.ts'
import type { FileFinding } from './finding.ts'

/** Whether a receipt or head vouches for records: a kept one does, a stamped one only under a certificate of the auditor's. */
export function vouches({ stamp }: Expectation): boolean {
  return stamp === undefined || stamp.under !== undefined
}

type Stamped = Expectation & { readonly stamp: TimeStamp }

export function isStamped(expected: Expectation): expected is Stamped {
  return expected.stamp !== undefined
}

export function stampedFindings(
  stamped: readonly Stamped[],
  met: ReadonlyMap<number, readonly Link[]>,
  chain: ChainReport,
  told: readonly FileFinding[],
): FileFinding[] {
  // two stamps of one second are in the order of what they cover
  const byTime = [...stamped].sort((a, b) =>
    a.stamp.at === b.stamp.at ? a.sequence - b.sequence : a.stamp.at < b.stamp.at ? -1 : 1,
  )
  const holds = ({ sequence, sha256 }: Stamped): boolean =>
    met.get(sequence)?.some((link) => link.sha256 === sha256) === true
  const holding = byTime.filter((each) => each.sequence > 0 && holds(each))
  const broken = byTime.filter((each) => each.sequence > 0 && !holds(each))
  return [...aboutBroken(broken, met, chain), ...aboutAltered(holding, told), ...aboutHolding(holding, chain)]
}

/** The finding about the earliest stamped head that does not match, which covers the fewest records. */
function aboutBroken(
  broken: readonly Stamped[],
  met: ReadonlyMap<number, readonly Link[]>,
  chain: ChainReport,
): FileFinding[] {
  const first = broken.reduce<Stamped | undefined>(
    (lowest, each) => (lowest === undefined || each.sequence < lowest.sequence ? each : lowest),
    undefined,
  )
  if (first === undefined) return []
  const more = broken.length > 1 ? ` The same is said by ${broken.length - 1} more of the stamps given.` : ''
  const there = met.get(first.sequence)
  const { sequence } = first
  if (!there) {
    const end = sequence > chain.last.sequence ? `, the file ends at ${chain.last.sequence}` : ''
    return [
      {
        level: 'finding',
        kind: 'shortened',
        record: sequence,
        what: `is not there: ${nameOf(first)} names record ${sequence}${end}`,
        meaning: `Records that existed then were removed.${more}`,
      },
    ]
  }
  return [
    {
      level: 'finding',
      kind: 'rewritten',
      record: sequence,
      line: there[0]!.line,
      what: `has another SHA-256 than ${nameOf(first)} says`,
      meaning: `This record, or one before it, was altered after that time, and the chain was made anew from there on.${more}`,
    },
  ]
}

/** Kinds of findings about a record that was altered, removed, moved or inserted. */
const alterations = new Set(['altered', 'missing', 'moved', 'inserted', 'unreadable'])

/** Findings about records that were altered although the stamped head after them still matches. */
function aboutAltered(holding: readonly Stamped[], told: readonly FileFinding[]): FileFinding[] {
  const records = told.flatMap(({ level, kind, record }) =>
    level === 'finding' && alterations.has(kind) && record !== undefined ? [record] : [],
  )
  const first = Math.min(...records)
  const covering = holding.filter(({ sequence }) => sequence >= first)
  const last = covering.at(-1)
  if (last === undefined) return []
  return [
    {
      level: 'finding',
      kind: 'not as stamped',
      record: first,
      what: `is not what ${nameOf(last)} covers`,
      meaning: `The head that was stamped then is that of record ${last.sequence}, and through the chain it stands for other bytes than are here now.`,
    },
  ]
}

/** Notes about the newest matching stamp of each authority: which records it covers, and which came after. */
function aboutHolding(holding: readonly Stamped[], { last }: ChainReport): FileFinding[] {
  const newest = new Map<string, Stamped>()
  for (const each of holding) newest.set(`${each.stamp.authority} ${each.stamp.under}`, each)
  return [...newest.values()].map((each) => {
    const { sequence, stamp } = each
    const covers = sequence === 1 ? 'record 1' : `records 1 to ${sequence}`
    const after =
      sequence >= last.sequence
        ? 'Nothing came after.'
        : `${sequence + 1 === last.sequence ? `Record ${last.sequence}` : `Records ${sequence + 1} to ${last.sequence}`} came after.`
    const trust =
      stamp.under === undefined
        ? ' It vouches for nothing yet: only the certificate beside it was used, which anybody could have made. Give the one of the authority with --authority.'
        : ` Signed under ${stamp.under}.`
    return {
      level: 'note',
      kind: stamp.under === undefined ? 'stamp of an unknown authority' : 'stamped',
      record: sequence,
      what: `as of ${stamp.at} this head existed, says "${stamp.authority}": it covers ${covers}. ${after}`,
      meaning: `${stamp.file}.${trust}`,
    }
  })
}

function nameOf({ stamp }: Stamped): string {
  return `the stamp ${stamp.file} of ${stamp.at}`
}
