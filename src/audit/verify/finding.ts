/** The results of `verify`. A finding is something that should not be; a note is worth knowing and may be right. */
export type Finding = {
  readonly level: 'finding' | 'note'
  /** A word for programs, which does not change. */
  readonly kind: string
  /** A path below the data directory; for a stamp, below the directory of stamps. */
  readonly path: string
  /** The sequence of the record, for a finding about one record. */
  readonly record?: number
  /** The line in the file, for `sed -n`. */
  readonly line?: number
  readonly what: string
  readonly meaning: string
}

/** A finding about one file, whose path the caller knows. */
export type FileFinding = Omit<Finding, 'path'>

export type OnFinding = (finding: Finding) => void
