/**
 * The mark of a data directory: `.civic-orchestrator`, a line of JSON with a random id, made once. The mark says that records
 * belong in the directory. An empty mountpoint whose file system is missing has no mark, nor has a directory that somebody named by
 * mistake. While the receiver runs, a changed mark shows that another file system is mounted in the place of the first one.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { markName } from '../../records/layout.ts'
import { makeDirectories } from './durable-file.ts'
import { writeSmallFile } from './small-file.ts'

const version = 1

/** Makes the data directory if it is not there, and marks it if it is not marked. Both are on disk when this resolves. */
export async function markDirectory(root: string): Promise<void> {
  await makeDataDirectory(root)
  if (readMark(root) !== undefined) return
  const text = `${JSON.stringify({ version, id: randomUUID() })}\n`
  await writeSmallFile(join(root, markName), text, { onlyIfAbsent: true })
}

/** Makes the data directory, and those above it, if they are not there. */
export async function makeDataDirectory(root: string): Promise<void> {
  const missing: string[] = []
  for (let path = resolve(root); !existsSync(path) && path !== dirname(path); path = dirname(path))
    missing.unshift(path)
  await makeDirectories(missing)
}

/** The text of the mark; undefined when there is none, or when it cannot be read. */
export function readMark(root: string): string | undefined {
  try {
    return readFileSync(join(root, markName), 'latin1') || undefined
  } catch {
    return undefined
  }
}

/** Whether there are records of one of these addons. A directory of version 1.0 has records and no mark. */
export function holdsRecords(root: string, addons: Iterable<string>): boolean {
  for (const addon of addons) {
    for (const association of namesBelow(join(root, addon))) {
      if (namesBelow(join(root, addon, association)).some((name) => name.endsWith('.json'))) return true
    }
  }
  return false
}

/** Unlike `namesIn`, takes a directory that cannot be read for an empty one: nobody can say that records are in it. */
function namesBelow(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/**
 * Tells whether the directory still bears the mark that it bore when this function was called; always true when it bore none.
 * Costs one stat as long as the file is the same one.
 */
export function markCheck(root: string): () => boolean {
  const mark = readMark(root)
  if (mark === undefined) return () => true
  let seen = identityOf(root)
  return () => {
    const found = identityOf(root)
    if (found !== undefined && found === seen) return true
    if (found === undefined || readMark(root) !== mark) return false
    // the same mark in another file: the directory was moved or restored while this process runs
    seen = found
    return true
  }
}

function identityOf(root: string): string | undefined {
  try {
    const { dev, ino, ctimeMs } = statSync(join(root, markName))
    return `${dev} ${ino} ${ctimeMs}`
  } catch {
    return undefined
  }
}
