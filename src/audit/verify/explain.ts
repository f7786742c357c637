/**
 * Turns faults in the chain and complaints about contents into findings, one for each cause. An altered record shows in its own
 * content and in the hash that the next record holds; it is reported once.
 */
import type { ChainFault, ChainReport, Link } from './chain.ts'
import type { FileFinding } from './finding.ts'

/** Complaints about the content of a line, by line number. */
export type Complaints = ReadonlyMap<number, readonly string[]>

const wrongId = /does not give the id/

export function explain(chain: ChainReport, complaints: Complaints): FileFinding[] {
  const found: FileFinding[] = []
  const told = new Set<number>()
  const unfinished = new Set(chain.faults.flatMap((fault) => (isUnfinished(fault) ? [fault.line] : [])))
  const broken = chain.faults.filter((fault) => fault.kind === 'broken link')
  const brokenAt = new Set(broken.map(({ at }) => at.line))
  for (const fault of chain.faults)
    if (fault.kind !== 'broken link') found.push(...otherFault(fault, chain, told))
  for (const { at, next } of broken) {
    if (!told.has(at.line)) found.push(brokenLink(at, next, complaints, brokenAt, told))
  }
  const untouched = firstFault(chain)
  for (const [line, details] of complaints) {
    if (!told.has(line) && !unfinished.has(line)) found.push(content(line, details, untouched))
  }
  for (const [from, to] of withoutMoved(chain)) found.push(missing(from, to, chain))
  return found.sort((a, b) => (a.line ?? Number.POSITIVE_INFINITY) - (b.line ?? Number.POSITIVE_INFINITY))
}

/** Faults that already explain why a line is no JSON. */
function isUnfinished(fault: ChainFault): fault is Extract<ChainFault, { kind: 'seam' | 'open end' }> {
  return fault.kind === 'seam' || fault.kind === 'open end'
}

function brokenLink(
  at: Link,
  next: Link,
  complaints: Complaints,
  brokenAt: ReadonlySet<number>,
  told: Set<number>,
): FileFinding {
  const details = complaints.get(at.line)
  if (at.sequence > 0 && details) {
    told.add(at.line)
    return altered(at, `${details.join('; ')}; and record ${next.sequence} holds the hash of other bytes`)
  }
  const nextIsAltered = at.sequence === 0 || (brokenAt.has(next.line) && !complaints.has(next.line))
  if (nextIsAltered) {
    // the same change has broken the link to the next record, so that link is not reported again
    told.add(next.line)
    return altered(next, 'its receipt does not hold the hash of the record before it')
  }
  told.add(at.line)
  return altered(
    at,
    `record ${next.sequence} holds the hash of other bytes; its content still gives its id, so the change is in node_token_hash or in the receipt, or in the receipt of record ${next.sequence}`,
  )
}

function altered({ sequence, line }: Link, what: string): FileFinding {
  return {
    level: 'finding',
    kind: 'altered',
    record: sequence,
    line,
    what: `was altered: ${what}`,
    meaning: 'These are not the bytes that were acknowledged. What stood here is in a backup, if anywhere.',
  }
}

/** `untouched`: in lines before this one, record n stands on line n + 1. */
function content(line: number, details: readonly string[], untouched: number): FileFinding {
  const isAltered = details.some((detail) => wrongId.test(detail))
  return {
    level: 'finding',
    kind: isAltered ? 'altered' : 'contract',
    ...(line < untouched ? { record: line - 1 } : {}),
    line,
    what: `${isAltered ? 'was altered' : 'is not as the receiver writes'}: ${details.join('; ')}`,
    meaning: isAltered
      ? 'The chain after it fits the altered bytes, or nothing comes after it: whoever did this made the hashes anew. Compare with receipts or heads that others kept.'
      : 'The receiver does not store this, so another program wrote it.',
  }
}

function missing(from: number, to: number, { faults }: ChainReport): FileFinding {
  const jump = faults.find(
    (fault) => fault.kind === 'jump' && fault.at.sequence < from && fault.next.sequence > to,
  )
  const rejoined = jump?.kind === 'jump' && jump.rejoined
  return {
    level: 'finding',
    kind: 'missing',
    record: from,
    ...(jump?.kind === 'jump' ? { line: jump.next.line } : {}),
    what: from === to ? 'is missing' : `to ${to} are missing`,
    meaning: rejoined
      ? 'They were removed, and the chain was made anew over the gap.'
      : 'They were acknowledged and stood here: what comes after holds the hash of what is gone. They were removed.',
  }
}

function otherFault(
  fault: Exclude<ChainFault, { kind: 'broken link' }>,
  chain: ChainReport,
  told: Set<number>,
): FileFinding[] {
  switch (fault.kind) {
    case 'jump':
      return fault.next.sequence <= fault.at.sequence ? [moved(fault.next)] : []
    case 'stray':
      return [stray(fault.at, chain, told)]
    case 'renumbered':
      told.add(fault.at.line)
      return [
        altered({ ...fault.at, sequence: fault.expected }, 'its receipt has another sequence than its place'),
      ]
    case 'no receipt':
      told.add(fault.line)
      return [unreadable(fault.line)]
    case 'separator':
      return [separator(fault.line)]
    case 'opening':
      return [
        {
          level: 'finding',
          kind: 'opening',
          line: 1,
          what: 'the file does not begin with "["',
          meaning: 'It is not a whole JSON array; its beginning was cut or written over.',
        },
      ]
    case 'after the end':
      return [
        {
          level: 'finding',
          kind: 'after the end',
          line: fault.line,
          what: 'the array is closed more than once: something stands behind its end',
          meaning: 'Another program wrote it. JSON programs refuse the file.',
        },
      ]
    case 'too long':
      return [tooLong(fault.line, fault.bytes)]
    case 'open end':
      return [openEnd(fault.line, fault.bytes)]
    case 'seam':
      return [seam(fault.line)]
  }
}

function firstFault({ faults }: ChainReport): number {
  const lines = faults.map((fault) => ('line' in fault ? fault.line : 'at' in fault ? fault.at.line : 1))
  return lines.reduce((first, line) => Math.min(first, line), Number.POSITIVE_INFINITY)
}

/** The missing sequences, without records that stand in another place, which are reported as moved. */
function withoutMoved({ missing, faults }: ChainReport): [number, number][] {
  const strays = new Set(faults.flatMap((fault) => (fault.kind === 'stray' ? [fault.at.sequence] : [])))
  return missing.flatMap(([from, to]) => {
    const here = [...strays].filter((sequence) => sequence >= from && sequence <= to).sort((a, b) => a - b)
    const edges = [from - 1, ...here, to + 1]
    return edges.slice(1).flatMap((next, index): [number, number][] => {
      const start = edges[index]! + 1
      return start < next ? [[start, next - 1]] : []
    })
  })
}

/** A record without a place. It was inserted if its sequence is taken, and moved if its sequence is missing elsewhere. */
function stray(at: Link, chain: ChainReport, told: Set<number>): FileFinding {
  const isMissing = chain.missing.some(([from, to]) => at.sequence >= from && at.sequence <= to)
  if (isMissing || at.sequence === chain.last.sequence + 1) return moved(at)
  told.add(at.line)
  return {
    level: 'finding',
    kind: 'inserted',
    record: at.sequence,
    line: at.line,
    what: 'was inserted: the records before and after it follow each other without it',
    meaning: 'It was never acknowledged in this place.',
  }
}

function moved({ sequence, line }: Link): FileFinding {
  return {
    level: 'finding',
    kind: 'moved',
    record: sequence,
    line,
    what: 'stands in the wrong place: the order was changed',
    meaning: 'The receiver only appends. Somebody rearranged the file.',
  }
}

function unreadable(line: number): FileFinding {
  return {
    level: 'finding',
    kind: 'unreadable',
    line,
    what: 'does not end in a receipt, so it is no record',
    meaning: 'A record was damaged here, or something else was written into the file.',
  }
}

function tooLong(line: number, bytes: number): FileFinding {
  return {
    level: 'finding',
    kind: 'too long',
    line,
    what: `is longer than any record; ${bytes} bytes behind it were not looked at`,
    meaning: 'Something else was written into the file.',
  }
}

function separator(line: number): FileFinding {
  return {
    level: 'finding',
    kind: 'separator',
    line,
    what: 'the comma between records is missing, or there is one too many',
    meaning: 'The file is not a JSON array any more; another program edited it.',
  }
}

function openEnd(line: number, bytes: number): FileFinding {
  return {
    level: 'finding',
    kind: 'open end',
    line,
    what:
      bytes > 0 ? `the file ends in ${bytes} bytes of an unfinished record` : 'the file does not end in "]"',
    meaning:
      'Either the receiver was killed or unplugged while it wrote (it repairs this at its next start; nothing acknowledged is in the unfinished part), or this is a copy taken while it wrote, or the file was cut. A head or a receipt that somebody kept tells which.',
  }
}

function seam(line: number): FileFinding {
  return {
    level: 'note',
    kind: 'seam',
    line,
    what: 'the end of an earlier state stands between two records',
    meaning:
      'This copy was taken with a plain copy while the receiver was writing. The chain holds across it, so nothing is lost or altered, but it is not valid JSON: take copies as AUDITORS.md shows.',
  }
}
