/**
 * Writes files that are small, rarely written and must be whole: the mark of a data directory, a development token, the reason why
 * an association is refused. No record is written here.
 *
 * write-file-atomic writes, syncs and sets the mode. Two faults of the library (see `src/storage/DESIGN.md`) are covered here. It
 * takes a short write for a whole one, so it writes a temporary, and only a temporary of the right size gets the name of the file.
 * It never syncs the directory, so `changeNames` does.
 *
 * Killed at any point: the file is the old one or the new one, and a temporary may be left, which the next start removes.
 */

import { linkSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import writeFileAtomic from 'write-file-atomic'
import { hasCode } from '../../error-code.ts'
import { fileMode } from '../../records/layout.ts'
import { changeNames, removeIfThere } from './durable-file.ts'
import { StorageFault } from './fault.ts'
import { temporaryIn } from './paths.ts'

export type SmallFileOptions = {
  readonly mode?: number
  /** A file that exists already is left as it is, whoever made it. */
  readonly onlyIfAbsent?: boolean
}

/** Owner and group stay those of the new file: the user of this process, and by the set-group-id bit the auditors' group. */
const asCreated = { uid: -1, gid: -1 }

/** Resolves when the file is on disk under its name; with false when a file of that name existed and was left as it was. */
export async function writeSmallFile(
  path: string,
  text: string,
  { mode = fileMode, onlyIfAbsent = false }: SmallFileOptions = {},
): Promise<boolean> {
  const directory = dirname(path)
  const temporary = temporaryIn(directory)
  return await changeNames(directory, async () => {
    try {
      await writeFileAtomic(temporary, text, { mode, chown: asCreated })
      if (statSync(temporary).size !== Buffer.byteLength(text))
        throw new StorageFault('full', 'a small file was cut short')
      if (onlyIfAbsent) return putIfAbsent(temporary, path)
      renameSync(temporary, path)
      return true
    } finally {
      removeIfThere(temporary)
    }
  })
}

/** A hard link fails when the name is taken, where a rename would replace. */
function putIfAbsent(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}
