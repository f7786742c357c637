/** The heading of a printed sheet: where its content comes from, the hash of the file, and the verdict. */
import { useLayoutEffect, useState } from 'hono/jsx/dom'
import { type Place, placeName } from '../../addons.ts'
import { headLine, verdictWords } from '../answer.ts'
import type { Checked } from '../state.ts'
import type { Heading } from './parts.tsx'

/** The SHA-256 of the whole file, for the heading of a print; undefined until it is known. */
export function useFileHash({ desk }: Checked, place: Place): string | undefined {
  const [sha256, setSha256] = useState<string | undefined>(undefined)
  useLayoutEffect(() => {
    void desk.fileHash(`${placeName(place)}/records.json`).then((found) => setSha256(found ?? 'no file'))
  }, [placeName(place)])
  return sha256
}

/** The heading of a printed sheet, which names the source of its content. */
export function headingOf({ report, name }: Checked, place: Place, sha256: string | undefined): Heading {
  const mine = report.associations.find((each) => placeName(each.place) === placeName(place))
  const head = mine && headLine(mine)
  return [
    ['Source', `${name}, ${placeName(place)}/records.json`],
    ['SHA-256 of the file', sha256 ?? 'not computed yet'],
    ['Checked', `${report.checked_at}, auditor.html ${report.version}`],
    ['Head', head ?? 'none'],
    ['Verdict on this association', mine ? verdictWords[mine.verdict] : 'Cannot be told'],
  ]
}
