/** What `verify` says: a finding is something that should not be; a note is something worth knowing that may be. */
export type Finding = {
  readonly level: 'finding' | 'note'
  /** A stable word for programs. */
  readonly kind: string
  /** Below the data directory; of a stamp, below the directory of stamps. */
  readonly path: string
  /** The record's sequence, where one is meant. */
  readonly record?: number
  /** Its line in the file, for `sed -n`. */
  readonly line?: number
  readonly what: string
  readonly meaning: string
}

/** A finding about the file at hand. */
export type FileFinding = Omit<Finding, 'path'>

export type OnFinding = (finding: Finding) => void
