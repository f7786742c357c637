/**
 * The port through which `verify` reads a data directory: on a disk under Node (`disk-directory.ts`), or the files that
 * somebody opened in a browser (`page/opened-directory.ts`). The code that judges uses this port only, so the tool and the page
 * run the same code and give the same findings.
 *
 * Paths are below the data directory, with `/` between their parts; '' is the data directory itself. Errors carry the `code`
 * that a file system gives. ENOENT: the file went away. EACCES: this user may not open the file. ENOTREGULAR: it is no regular
 * file, and `kind` says in words what it is. EFBIG: it is longer than its reader accepts. ECHANGED: it was changed while it was
 * read.
 */
import { hasCode } from '../../error-code.ts'
import type { Bytes } from './chain.ts'

export type Kind = 'file' | 'directory' | 'link' | 'special'

export type Entry = { readonly name: string; readonly kind: Kind }

export type FileState = {
  readonly kind: Kind
  readonly size: number
  /** When the file was last changed, in milliseconds since 1970. */
  readonly changedMs: number
  /** Permission bits; undefined in a browser, which does not show them. Then modes are not checked. */
  readonly mode: number | undefined
  /** How many names the file has. */
  readonly links: number
}

export type Directory = {
  /** The names in a directory, in order. */
  entries(path: string): Promise<readonly Entry[]>
  /** Undefined when there is no file of this name. */
  state(path: string): Promise<FileState | undefined>
  /** The whole content of a regular file of at most `most` bytes. */
  read(path: string, most: number): Promise<Uint8Array>
  /** Opens a records file as it is now, and closes it when `use` has ended. */
  withRecords<T>(path: string, use: (records: Bytes) => Promise<T>): Promise<T>
}

export function whyUnread(error: unknown): string {
  if (hasCode(error, 'EACCES')) return 'cannot be opened by this user'
  if (hasCode(error, 'ENOENT')) return 'went away while it was read'
  if (hasCode(error, 'ECHANGED')) return 'was changed while it was read'
  const { kind } = error as { readonly kind?: string }
  return kind ? `is ${kind}, not a regular file; it was not read` : (error as Error).message
}
