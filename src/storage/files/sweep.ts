/**
 * Removes the leftovers of killed processes at the start, and nothing else. Only names that this program gives count as leftovers.
 * A file that an operator puts beside the records, such as `records.json.1`, stays, and `verify` names it. Each removal is logged.
 */
import { lstat, open, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../../log.ts'
import { asidePattern, oldIndexPattern, ownTemporaryPattern, recordsName } from '../../records/layout.ts'
import { closing } from '../../records/position.ts'
import { readRange } from './byte-source.ts'

/** A younger file may belong to a living process. Every request ends within 10 s, so an older one was left by a dead process. */
const abandonedMs = 20_000

/** Removes the leftovers among the names in one directory. `where` is its path below the data directory, for the log. */
export async function removeLeftovers(
  names: readonly string[],
  directory: string,
  where: string,
  log: Log,
): Promise<void> {
  for (const name of names) {
    const isLeftover = [ownTemporaryPattern, asidePattern, oldIndexPattern].some((known) => known.test(name))
    if (isLeftover && (await removeIfAbandoned(join(directory, name))))
      log.info({ directory: where, name }, 'a leftover was removed')
  }
}

async function removeIfAbandoned(path: string): Promise<boolean> {
  try {
    const found = await lstat(path)
    if (found.mtimeMs > Date.now() - abandonedMs) return false
    await (found.isDirectory() ? rmdir : unlink)(path)
    return true
  } catch {
    // another process has removed the file, or the next start tries again
    return false
  }
}

/** Whether a records file does not end in its closing, because it is torn or being written at this moment. */
export async function isUnclosed(directory: string): Promise<boolean> {
  const file = await open(join(directory, recordsName), 'r').catch(() => undefined)
  if (!file) return false
  try {
    const { size } = await file.stat()
    const end = await readRange(file, Math.max(size - closing.length, 0), size)
    return end.toString('latin1') !== closing
  } finally {
    await file.close()
  }
}
