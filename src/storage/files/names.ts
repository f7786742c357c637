/** The names in a directory; none when the path does not exist or is no directory. */

import { readdir } from 'node:fs/promises'
import { hasCode } from '../../error-code.ts'

export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}
