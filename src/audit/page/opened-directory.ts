/**
 * Presents the files that were opened in a browser as the directory that `verify` reads. A browser shows no links, modes,
 * owners and empty directories, so these are not checked, and the page says so.
 */

import type { ByteSource } from '../../records/lines.ts'
import { closing } from '../../records/position.ts'
import type { Bytes } from '../verify/chain.ts'
import type { Directory, Entry } from '../verify/directory.ts'

/** A file with its path below the data directory. `changedMs` is the time of its last change. */
export type Opened = { readonly path: string; readonly file: Blob; readonly changedMs: number }

const words = {
  ENOENT: 'A file that was opened is not there any more.',
  EFBIG: 'A file is larger than anything the receiver writes.',
  ECHANGED: 'A file was changed or taken away since it was opened. Open it again.',
}

/** Thrown when a file was changed since it was chosen, or cannot be opened. */
class Unread extends Error {
  override readonly name = 'Unread'
  readonly code: 'ENOENT' | 'EFBIG' | 'ECHANGED'

  constructor(code: Unread['code']) {
    super(words[code])
    this.code = code
  }
}

export function openedDirectory(files: readonly Opened[]): Directory {
  const byPath = new Map(files.map((opened) => [opened.path, opened]))
  const entries = entriesOf(files)
  const fileAt = (path: string): Blob => {
    const opened = byPath.get(path)
    if (!opened) throw new Unread('ENOENT')
    return opened.file
  }
  return {
    entries: async (path) => {
      const found = entries.get(path)
      if (!found) throw new Unread('ENOENT')
      return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    },
    state: async (path) => {
      const opened = byPath.get(path)
      const isDirectory = entries.has(path)
      if (!opened && !isDirectory) return undefined
      return {
        kind: isDirectory ? 'directory' : 'file',
        size: opened?.file.size ?? 0,
        changedMs: opened?.changedMs ?? 0,
        mode: undefined,
        links: 1,
      }
    },
    read: async (path, most) => {
      const file = fileAt(path)
      if (file.size > most) throw new Unread('EFBIG')
      return bytesOf(file)
    },
    withRecords: async (path, use) => use(await recordsIn(fileAt(path))),
  }
}

function entriesOf(files: readonly Opened[]): Map<string, Map<string, Entry>> {
  const entries = new Map<string, Map<string, Entry>>([['', new Map()]])
  for (const { path } of files) {
    const parts = path.split('/')
    for (let depth = 0; depth < parts.length; depth++) {
      const parent = parts.slice(0, depth).join('/')
      const name = parts[depth] as string
      const kind = depth === parts.length - 1 ? 'file' : 'directory'
      const siblings = entries.get(parent) ?? new Map<string, Entry>()
      entries.set(parent, siblings.set(name, { name, kind }))
    }
  }
  return entries
}

/** Opens a records file. A browser keeps the size that the file had when it was chosen, also when the file grows. */
async function recordsIn(file: Blob): Promise<Bytes> {
  const { size } = file
  const tail = new TextDecoder().decode(await bytesOf(file.slice(Math.max(0, size - closing.length))))
  const closed = tail === closing && size > closing.length
  return { source: sourceOf(file), size, end: closed ? size - closing.length : size, closed }
}

export function sourceOf(file: Blob): ByteSource {
  // The pieces have 4 MB, because in a browser a small piece takes as long to read.
  return { chunk: 4 * 1024 * 1024, read: (from, until) => bytesOf(file.slice(from, until)) }
}

async function bytesOf(file: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer())
  } catch {
    throw new Unread('ECHANGED')
  }
}
