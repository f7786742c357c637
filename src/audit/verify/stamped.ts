/**
 * What time stamps of heads (RFC 3161) say about the records of one association. A stamp shows that the head, and with it every
 * record up to it, existed at a time; so records that are not what a stamped head stands for were altered.
 *
 * Whoever can write the records can also make an authority of their own. So a stamp *vouches* only under a certificate that the
 * auditor brought; one that was checked with the certificate beside it alone can accuse, and does not vouch.
 */
import type { ChainReport, Link } from './chain.ts'
import type { Expectation } from './expectations.ts'
import type { FileFinding } from './finding.ts'

export type TimeStamp = {
  /** The name of the file that holds it. */
  readonly file: string
  /** As it is named in that. */
  readonly authority: string
  /** The time of the authority, in ISO form. */
  readonly at: string
  /** The file of the auditor's own with the certificate under which it is signed; undefined: only the one beside it fits. */
  readonly under: string | undefined
}

/** Whether it may stand for "somebody else kept this". */
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
  const byTime = [...stamped].sort((a, b) => (a.stamp.at < b.stamp.at ? -1 : 1))
  const holds = ({ sequence, sha256 }: Stamped): boolean =>
    met.get(sequence)?.some((link) => link.sha256 === sha256) === true
  const holding = byTime.filter((each) => each.sequence > 0 && holds(each))
  const broken = byTime.filter((each) => each.sequence > 0 && !holds(each))
  return [...aboutBroken(broken, met, chain), ...aboutAltered(holding, told), ...aboutHolding(holding, chain)]
}

/** The first of them, which tells the most: what it covers was altered after that time. */
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

/** Kinds of findings that say that a record is not, or not where, it was. */
const alterations = new Set(['altered', 'missing', 'moved', 'inserted', 'unreadable'])

/** A record was altered in its place, and the head after it left as it was: the stamped head stands for what was there. */
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

/** Of each authority the newest that holds: what it covers, and what came after. */
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
