/**
 * The files of an association that has no records yet.
 *
 * The head file is on disk first, and the names of both files are before any record is: from then on a first batch that was
 * torn is told from records that went missing. Files that could not be made whole are removed again, since a head file
 * without a records file would look as if the records had been removed.
 */
import { statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { headOf } from '../../records/head.ts'
import { fileMode, headName, recordsName } from '../../records/layout.ts'
import { emptyPosition } from '../../records/position.ts'
import { changeNames, openOrMake, removeIfThere } from './durable-file.ts'
import { requireLock } from './fault.ts'
import { writeHeadSync } from './head-file.ts'

/** Under the lock. Gives the records file, open and empty unless another process has written to it meanwhile. */
export async function makeEmptyFiles(directory: string, isHeld: () => boolean): Promise<FileHandle> {
  let file: FileHandle | undefined
  try {
    await changeNames(directory, async () => {
      await makeHead(join(directory, headName), isHeld)
      file = await open(join(directory, recordsName), openOrMake, fileMode)
      await file.chmod(fileMode)
    })
    return file as unknown as FileHandle
  } catch (error) {
    await file?.close()
    const found = statSync(join(directory, recordsName), { throwIfNoEntry: false })
    if (isHeld() && !(found && found.size > 0)) removeEmptyFiles(directory)
    throw error
  }
}

async function makeHead(path: string, isHeld: () => boolean): Promise<void> {
  const file = await open(path, openOrMake, fileMode)
  try {
    await file.chmod(fileMode)
    requireLock(isHeld)
    writeHeadSync(file.fd, headOf(emptyPosition))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Under the lock, and only where no record was ever answered for. */
export function removeEmptyFiles(directory: string): void {
  removeIfThere(join(directory, recordsName))
  removeIfThere(join(directory, headName))
}
