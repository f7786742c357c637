/** Copies files that are replaced as a whole. A rename puts each in place, so every reading is one whole state of it. */
import { createHash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type FileEntry, objectPath } from './manifest.ts'
import { singleFiles } from './source.ts'

/** What was seen of each file, so that a second look reads only what has been replaced meanwhile. */
export type Seen = Map<string, { readonly stamp: string; readonly entry: FileEntry }>

const atOnce = 16

/** `onFile` is told how many files have been looked at. */
export async function copyFiles(
  data: string,
  target: string,
  seen: Seen,
  onFile: (done: number) => void,
): Promise<{ entries: FileEntry[]; written: number }> {
  const entries: FileEntry[] = []
  let written = 0
  let done = 0
  const paths = singleFiles(data)
  const worker = async (): Promise<void> => {
    for (const path of paths) {
      const copied = await copyFile(data, target, path, seen)
      if (copied) entries.push(copied.entry)
      written += copied?.written ?? 0
      onFile(++done)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { entries, written }
}

async function copyFile(
  data: string,
  target: string,
  path: string,
  seen: Seen,
): Promise<{ entry: FileEntry; written: number } | undefined> {
  try {
    const { ino, size, ctimeNs } = await stat(join(data, path), { bigint: true })
    const stamp = `${ino} ${size} ${ctimeNs}`
    const known = seen.get(path)
    if (known?.stamp === stamp) return { entry: known.entry, written: 0 }
    const bytes = await readFile(join(data, path))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const entry = { path, bytes: bytes.length, sha256 }
    seen.set(path, { stamp, entry })
    return { entry, written: await keep(join(target, objectPath(sha256)), bytes) }
  } catch (error) {
    // removed between two looks
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Not synced one by one: all are, once, before the manifest names them. */
async function keep(path: string, bytes: Buffer): Promise<number> {
  const found = await stat(path).catch(() => undefined)
  if (found?.size === bytes.length) return 0
  mkdirSync(dirname(path), { recursive: true })
  const temporary = `${path}.${process.pid}.${crypto.randomUUID()}.new`
  await writeFile(temporary, bytes)
  await rename(temporary, path)
  return bytes.length
}
