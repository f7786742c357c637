/** Sums up all findings and notes in one verdict. */
import type { Finding } from './finding.ts'

export type Verdict = 'whole' | 'altered' | 'cannot be told'

/** Kinds of findings that leave the question open. Every other finding says that something is not as it was left. */
const undecided = new Set(['no head', 'open end', 'unreadable', 'nothing here', 'bad stamp'])

/** Kinds of notes that leave the question open when there is no finding. */
const leavingOpen = new Set(['no receipt', 'after the receipts', 'seam', 'nothing here'])

/** An unreadable path leaves the question open; an unreadable line is damage. */
function isUndecided({ kind, line }: Finding): boolean {
  return undecided.has(kind) && (kind === 'open end' || line === undefined)
}

/** Counts findings as they come. */
export class Counts {
  #decided = 0
  #open = 0
  found = 0
  notes = 0

  add(finding: Finding): void {
    if (finding.level === 'finding') this.found++
    else this.notes++
    if (leavingOpen.has(finding.kind)) this.#open++
    if (finding.level === 'finding' && !isUndecided(finding)) this.#decided++
  }

  /** `vouchedFor`: every association with records was compared with a receipt or a head from outside. */
  verdict(vouchedFor: boolean): Verdict {
    if (this.found === 0) return vouchedFor && this.#open === 0 ? 'whole' : 'cannot be told'
    return this.#decided > 0 ? 'altered' : 'cannot be told'
  }
}
