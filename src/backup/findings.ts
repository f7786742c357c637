/** The findings of a run, by association. A path holds a participant's Placekey, so paths are kept apart from the sentences. */

/**
 *   kept      the data directory no longer has it as it was; the backup keeps what it has
 *   not-held  the data directory has something that could not be taken, and the backup has no copy of it
 *   missing   files that are gone from the data directory, whole copies of which the backup keeps
 *   left-out  what is no file of the receiver's
 *   damaged   a copy is damaged, and the data directory does not have it either
 *   line      append-only records that do not continue those that were copied: a new line of copies was begun
 *   mended    a copy was damaged, and was made anew from the data directory
 *   stamps    a time stamp that is not as it was copied
 *   beside    a backup in the same directory that does not verify
 */
export type BackupFindingKind =
  | 'kept'
  | 'not-held'
  | 'missing'
  | 'left-out'
  | 'damaged'
  | 'line'
  | 'mended'
  | 'stamps'
  | 'beside'

export type BackupFinding = {
  /** `<addon>/<association>`, or '' for what concerns none. */
  readonly association: string
  readonly kind: BackupFindingKind
  readonly what: string
  /** How many files, when files are meant, and the first of their paths below the data directory. */
  readonly files?: number
  readonly paths?: readonly string[]
}

/** After these, not everything that was acknowledged for the association is in the backup, or what is there may be old. */
const incomplete: ReadonlySet<BackupFindingKind> = new Set<BackupFindingKind>(['kept', 'not-held', 'damaged'])

export function isIncomplete({ kind }: BackupFinding): boolean {
  return incomplete.has(kind)
}

const mostPaths = 20

export class BackupFindings {
  readonly #found = new Map<string, BackupFinding & { files?: number; paths?: string[] }>()

  tell(association: string, kind: BackupFindingKind, what: string, path?: string): void {
    const key = `${association} ${kind} ${what}`
    const known = this.#found.get(key) ?? { association, kind, what }
    this.#found.set(key, known)
    if (path === undefined) return
    known.files = (known.files ?? 0) + 1
    known.paths ??= []
    if (known.paths.length < mostPaths) known.paths.push(path)
  }

  get all(): BackupFinding[] {
    return [...this.#found.values()]
  }
}

/** One sentence; with `paths` their names as well. */
export function sentence({ association, what, files, paths }: BackupFinding, withPaths: boolean): string {
  const count = files === undefined ? '' : `${files} ${files === 1 ? 'file' : 'files'}: `
  const named = withPaths && paths ? ` (${paths.join(', ')}${paths.length < files! ? ', …' : ''})` : ''
  return `${association === '' ? '' : `${association}: `}${count}${what}${named}`
}
