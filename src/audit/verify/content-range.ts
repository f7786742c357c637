/** Judges the records in a range of a records file, which is the unit of work for one process or worker. */
import { type ByteSource, lineBatches, type TextLine, withoutComma } from '../../records/lines.ts'
import type { Place } from '../addons.ts'
import { judgeLines } from './content.ts'

/** From the first byte of line `firstLine` up to, but not including, the first byte behind the last line. */
export type Range = { readonly from: number; readonly until: number; readonly firstLine: number }

export type LineComplaints = readonly (readonly [line: number, details: readonly string[]])[]

export type RangeJudgement = {
  readonly complaints: LineComplaints
  readonly payments: readonly (readonly [hash: string, sequence: number])[]
  /** So much was wrong before that nothing from this line on was judged. */
  readonly unjudgedFrom?: number
}

const mostComplaints = 2_000

export async function judgeRange(source: ByteSource, place: Place, range: Range): Promise<RangeJudgement> {
  const complaints: [number, string[]][] = []
  const payments: [string, number][] = []
  let line = range.firstLine
  for await (const batch of lineBatches(source, range.from, range.until)) {
    const first = line
    line += batch.length
    // a line of one byte is a bracket of the array, or a fault that the chain reports
    const wanted = batch.flatMap(({ text }, index) => (text.length >= 2 ? [index] : []))
    const judged = await judgeLines(
      wanted.map((index) => withoutComma(batch[index]!.text)),
      place,
    )
    for (const [at, judgement] of judged.entries()) {
      const number = first + wanted[at]!
      if (judgement.complaints.length > 0) complaints.push([number, judgement.complaints])
      if (judgement.payment) payments.push([judgement.payment.hash, judgement.payment.sequence])
    }
    if (complaints.length >= mostComplaints && endOf(batch) < range.until)
      return { complaints, payments, unjudgedFrom: line }
  }
  return { complaints, payments }
}

function endOf(batch: readonly TextLine[]): number {
  const { offset, text } = batch.at(-1) as TextLine
  return offset + text.length + 1
}
