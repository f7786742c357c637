/** A data directory on a disk, for `verify` and `heads`. */
import { type Dirent, lstatSync, readdirSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { readRegularSync } from '../../storage/files/regular-file.ts'
import { withSnapshot } from '../../storage/files/snapshot-file.ts'
import type { Directory, Kind } from './directory.ts'

export function diskDirectory(root: string): Directory {
  return {
    entries: async (path) =>
      readdirSync(join(root, path), { withFileTypes: true })
        .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    state: async (path) => {
      const found = lstatSync(join(root, path), { throwIfNoEntry: false })
      return (
        found && {
          kind: kindOf(found),
          size: found.size,
          changedMs: found.mtimeMs,
          mode: found.mode & 0o7777,
          links: found.nlink,
        }
      )
    },
    read: async (path, most) => readRegularSync(join(root, path), most),
    withRecords: (path, use) => withSnapshot(join(root, path), use),
  }
}

function kindOf(found: Dirent | Stats): Kind {
  if (found.isSymbolicLink()) return 'link'
  if (found.isDirectory()) return 'directory'
  return found.isFile() ? 'file' : 'special'
}
