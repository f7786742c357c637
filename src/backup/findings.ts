/** The findings of a run, by association. Paths hold Placekeys of participants, so they are kept apart from the sentences. */

/**
 *   kept      records are altered or damaged in the data directory; the backup keeps its good copies
 *   not-held  something in the data directory could not be copied, and the backup has no earlier copy of it
 *   missing   files that are gone from the data directory, of which the backup keeps whole copies
 *   left-out  a file that the receiver did not make
 *   damaged   a copy is damaged, and the data directory does not have the same bytes any more
 *   line      append-only records do not continue those that were copied, so a new line of copies was begun
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
  /** `<addon>/<association>`, or '' for a finding that is about no association. */
  readonly association: string
  readonly kind: BackupFindingKind
  readonly what: string
  /** For findings about files: how many, and the first of their paths below the data directory. */
  readonly files?: number
  readonly paths?: readonly string[]
}

/** Findings after which the backup may lack acknowledged records of the association, or may hold old ones. */
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

/** A finding as one sentence; with the paths if `withPaths` is true. */
export function sentence({ association, what, files, paths }: BackupFinding, withPaths: boolean): string {
  const count = files === undefined ? '' : `${files} ${files === 1 ? 'file' : 'files'}: `
  const named = withPaths && paths ? ` (${paths.join(', ')}${paths.length < files! ? ', …' : ''})` : ''
  return `${association === '' ? '' : `${association}: `}${count}${what}${named}`
}
