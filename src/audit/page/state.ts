/** The state of the page, and the actions that the views may call. */
import type { Place } from '../addons.ts'
import type { Finding } from '../verify/finding.ts'
import type { Report } from './check.ts'
import type { DeskProgress } from './desk.ts'
import type { KeptText } from './engine.ts'
import type { Opened } from './opened-directory.ts'
import type { DeskRemote } from './workers.ts'

export type State = {
  readonly phase: 'start' | 'choose' | 'working' | 'done'
  /** The name of the opened folder, zip or files. */
  readonly name: string
  readonly choices: readonly string[]
  readonly progress: DeskProgress | undefined
  readonly report: Report | undefined
  readonly kept: readonly KeptText[]
  /** What went wrong, as a sentence for the person. */
  readonly trouble: string
}

export const atStart: State = {
  phase: 'start',
  name: '',
  choices: [],
  progress: undefined,
  report: undefined,
  kept: [],
  trouble: '',
}

export type Checked = {
  readonly report: Report
  readonly name: string
  readonly desk: DeskRemote
  readonly progress: DeskProgress | undefined
}

export type Actions = {
  open(files: readonly Opened[]): void
  choose(root: string): void
  addKept(texts: readonly KeptText[]): void
  startAgain(): void
}

export const findingsIn = (report: Report, place: Place): readonly Finding[] =>
  report.findings.filter(({ path }) => path.startsWith(`${place.addon}/${place.slug}/`))
