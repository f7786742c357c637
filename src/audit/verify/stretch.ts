/** Judges a stretch of a records file on disk, in this process. */
import { sourceOf } from '../../storage/files/byte-source.ts'
import { openRegular } from '../../storage/files/regular-file.ts'
import { judgeRange, type RangeJudgement } from './content-range.ts'
import type { Stretch } from './in-directory.ts'

export async function judgeStretch({ path, place, ...range }: Stretch): Promise<RangeJudgement> {
  const file = await openRegular(path)
  try {
    return await judgeRange(sourceOf(file), place, range)
  } finally {
    await file.close()
  }
}
