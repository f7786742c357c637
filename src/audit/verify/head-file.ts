/** Reads the head file beside a records file. */
import { hasCode } from '../../error-code.ts'
import { latin1 } from '../../records/bytes.ts'
import { parseHead } from '../../records/head.ts'
import { headName } from '../../records/layout.ts'
import { type Place, placeName } from '../addons.ts'
import type { Directory } from './directory.ts'
import type { HeadFile } from './witnesses.ts'

/** Longer than a head file of any version. */
export const longestHead = 64 * 1024

/** A head file that cannot be read counts as garbage; `tree.ts` reports why. */
export async function headFile(directory: Directory, place: Place): Promise<HeadFile> {
  try {
    const text = latin1(await directory.read(`${placeName(place)}/${headName}`, longestHead))
    const head = parseHead(text)
    if (head) return { state: 'read', head }
    return { state: /^[\0\s]*$/.test(text) ? 'blank' : 'garbage' }
  } catch (error) {
    return { state: hasCode(error, 'ENOENT') ? 'missing' : 'garbage' }
  }
}
