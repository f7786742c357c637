/** Judges the records in a stretch of a records file; the unit of work for one thread. */
import { open } from 'node:fs/promises'
import { readLines } from '../../storage/records-file.ts'
import { judgeLine } from './content.ts'

export type Stretch = {
  readonly path: string
  readonly slug: string
  /** Offset of the first byte of line `firstLine`, and of the first byte after the last line. */
  readonly from: number
  readonly until: number
  readonly firstLine: number
}

export type LineComplaints = readonly (readonly [line: number, details: readonly string[]])[]

const comma = 44
const mostComplaints = 2_000

export async function judgeStretch({ path, slug, from, until, firstLine }: Stretch): Promise<LineComplaints> {
  const place = { addon: 'scn01', slug }
  const found: [number, string[]][] = []
  let line = firstLine
  const file = await open(path, 'r')
  try {
    await readLines(file, from, until, (_offset, text) => {
      // a bracket alone is the array's, or a matter for the chain
      const details =
        text.length < 2 ? [] : judgeLine(text.at(-1) === comma ? text.subarray(0, -1) : text, place)
      if (details.length > 0) found.push([line, details])
      line++
      return found.length < mostComplaints
    })
  } finally {
    await file.close()
  }
  return found
}
