/**
 * Makes the files of an association that has no records yet.
 *
 * The head file is put on disk first, and the names of both files are on disk before any record. So recovery can tell a torn first
 * batch from records that went missing. If one of the files cannot be made, both are removed, because a head file without a records
 * file would look as if the records had been removed.
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

/** Called under the lock. Gives the records file, open, and empty unless another process has written to it meanwhile. */
export async function makeEmptyFiles(directory: string, isHeld: () => boolean): Promise<FileHandle> {
  let file: FileHandle | undefined
  try {
    await changeNames(directory, async () => {
      await makeHead(join(directory, headName), isHeld)
      file = await open(join(directory, recordsName), openOrMake, fileMode)
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
    requireLock(isHeld)
    writeHeadSync(file.fd, headOf(emptyPosition))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Called under the lock, and only where no receipt was ever given. */
export function removeEmptyFiles(directory: string): void {
  removeIfThere(join(directory, recordsName))
  removeIfThere(join(directory, headName))
}
