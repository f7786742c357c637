/** What is put in order when the receiver starts, and nothing else ever tidies: leftovers of processes that were killed. */
import { open, readdir, rmdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './fault.ts'
import { asidePattern, recordsName, temporaryPattern } from './paths.ts'
import { closing } from './records-file.ts'

/** A younger temporary may belong to another process that is alive: every request ends within 10 s. */
const abandonedMs = 20_000

async function names(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return []
    throw error
  }
}

/** Removes what a write or the take-over of a lock leaves beside a record when it is killed. */
export async function removeTemporaries(root: string, addon: string): Promise<void> {
  for (const slug of await names(join(root, addon))) {
    const directory = join(root, addon, slug)
    for (const name of await names(directory)) {
      if (temporaryPattern.test(name) || asidePattern.test(name))
        await removeIfAbandoned(join(directory, name))
    }
  }
}

async function removeIfAbandoned(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (!found || found.mtimeMs > Date.now() - abandonedMs) return
  const remove = found.isDirectory() ? rmdir : unlink
  await remove(path).catch(() => {})
}

/** Associations whose records file does not end as it does at rest: torn, or being written at this moment. */
export async function* unclosed(root: string, addon: string): AsyncGenerator<string> {
  for (const slug of await names(join(root, addon))) {
    const file = await open(join(root, addon, slug, recordsName), 'r').catch(() => undefined)
    if (!file) continue
    try {
      const { size } = await file.stat()
      const { buffer, bytesRead } = await file.read(
        Buffer.alloc(closing.length),
        0,
        closing.length,
        Math.max(size - closing.length, 0),
      )
      if (buffer.toString('latin1', 0, bytesRead) !== closing) yield slug
    } finally {
      await file.close()
    }
  }
}
