/**
 * Collects the chosen or dropped files with their paths. When a folder is dropped on a page that was opened from a file, some
 * browsers give handles only and others entries only, so both ways are tried.
 */
import type { Opened } from './opened-directory.ts'

/** So many files are opened together, because one by one twenty thousand files take half a minute. */
const atOnce = 200

export function filesOfInput(files: FileList | null): Opened[] {
  return [...(files ?? [])].map((file) => opened(file.webkitRelativePath || file.name, file))
}

function opened(path: string, file: File): Opened {
  return { path, file, changedMs: file.lastModified }
}

type Handle = {
  readonly kind: 'file' | 'directory'
  readonly name: string
  getFile(): Promise<File>
  values(): AsyncIterable<Handle>
}

type Dropped = DataTransferItem & { getAsFileSystemHandle?(): Promise<Handle | null> }

type Pending = { readonly path: string; file(): Promise<File> }

/** Asks for every item before the first wait, because the browser empties the list afterwards. */
export async function filesOfDrop(list: DataTransfer): Promise<Opened[]> {
  const items = ([...list.items] as Dropped[]).filter(({ kind }) => kind === 'file')
  const asked = items.map((item) => ({
    handle: item.getAsFileSystemHandle?.(),
    entry: item.webkitGetAsEntry?.() ?? null,
    file: item.getAsFile(),
  }))
  const pending: Pending[] = []
  for (const { handle, entry, file } of asked) {
    const found = await handle?.catch(() => null)
    if (found) await underHandle(found, '', pending)
    else if (entry) await underEntry(entry, '', pending)
    else if (file) pending.push({ path: file.name, file: async () => file })
  }
  const all: Opened[] = []
  for (let at = 0; at < pending.length; at += atOnce) {
    const files = pending.slice(at, at + atOnce).map(async ({ path, file }) => opened(path, await file()))
    all.push(...(await Promise.all(files)))
  }
  return all
}

async function underHandle(handle: Handle, folder: string, into: Pending[]): Promise<void> {
  const path = `${folder}${handle.name}`
  if (handle.kind === 'file') into.push({ path, file: () => handle.getFile() })
  else for await (const child of handle.values()) await underHandle(child, `${path}/`, into)
}

async function underEntry(entry: FileSystemEntry, folder: string, into: Pending[]): Promise<void> {
  const path = `${folder}${entry.name}`
  if (entry.isFile) {
    const file = (): Promise<File> =>
      new Promise((give, fail) => (entry as FileSystemFileEntry).file(give, fail))
    into.push({ path, file })
    return
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader()
  // the reader gives at most a hundred entries at a time, and none at the end
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((give, fail) => reader.readEntries(give, fail))
    if (some.length === 0) return
    for (const child of some) await underEntry(child, `${path}/`, into)
  }
}
