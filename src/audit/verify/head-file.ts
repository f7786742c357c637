/** Reads the head file beside a records file. */
import { hasCode } from '../../error-code.ts'
import { latin1 } from '../../records/bytes.ts'
import { parseHead } from '../../records/head.ts'
import { headName } from '../../records/layout.ts'
import { type Place, placeName } from '../addons.ts'
import type { Directory } from './directory.ts'
import type { HeadFile } from './witnesses.ts'

/** More than a head file of any version is long. */
export const longestHead = 64 * 1024

/** What cannot be read counts as garbage, and the walk over the names tells why. */
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
