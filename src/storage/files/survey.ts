/** Looks at every association below the data directory when the program starts. */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { contracts } from '../../../contracts/index.ts'
import { hasCode } from '../../error-code.ts'
import type { Log } from '../../log.ts'
import { lockName, type RecordPath, recordsName } from '../../records/layout.ts'
import { ifThere } from './fault.ts'
import { watchLock } from './lock.ts'
import { namesIn } from './names.ts'
import { associationDirectories, isSafeName } from './paths.ts'
import { isRefused } from './refusal.ts'
import { isUnclosed, removeLeftovers } from './sweep.ts'

export type FoundAssociation = RecordPath & {
  readonly isAppendOnly: boolean
  /** The records file is torn, or being written at this moment, or was refused by an earlier process. */
  readonly needsRecovery: boolean
  /** Size of the records file; 0 when there is none. */
  readonly size: number
  readonly writtenMs: number
}

/** Gives each association, and removes the leftovers of killed processes on the way. */
export async function* survey(root: string, log: Log): AsyncGenerator<FoundAssociation> {
  await removeLeftovers(await readableNamesIn(root), root, '.', log)
  for (const [addon, versions] of contracts) {
    const isAppendOnly = versions.some(({ storage }) => storage === 'append-only')
    for (const association_slug of await readableNamesIn(join(root, addon))) {
      if (!isSafeName(association_slug)) continue
      const of = { addon, association_slug }
      const [, directory] = associationDirectories(root, of)
      await removeLeftovers(await readableNamesIn(directory), directory, `${addon}/${association_slug}`, log)
      if (isAppendOnly) yield await lookAt(of, directory)
      else yield { ...of, isAppendOnly, needsRecovery: false, size: 0, writtenMs: 0 }
    }
  }
}

/** A directory that this process may not read counts as empty here; `/ready` names it. */
async function readableNamesIn(directory: string): Promise<string[]> {
  try {
    return await namesIn(directory)
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM')) return []
    throw error
  }
}

async function lookAt(of: RecordPath, directory: string): Promise<FoundAssociation> {
  watchLock(join(directory, lockName))
  const found = await ifThere(stat(join(directory, recordsName))).catch(() => undefined)
  return {
    ...of,
    isAppendOnly: true,
    needsRecovery: isRefused(directory) || (await isUnclosed(directory)),
    size: found?.size ?? 0,
    writtenMs: found?.mtimeMs ?? 0,
  }
}
