/** What all findings and notes together say: the one answer that a person came for. */
import type { Finding } from './finding.ts'

export type Verdict = 'whole' | 'altered' | 'cannot be told'

/** Kinds that say "nobody can know from here", where every other finding says that something is not as it was left. */
const undecided = new Set(['no head', 'open end', 'unreadable', 'nothing here', 'bad stamp'])

/** Notes that leave open whether everything is as it was left, where nothing else is found. */
const leavingOpen = new Set(['no receipt', 'after the receipts', 'seam', 'nothing here'])

/** A path that could not be opened is no damage; a line that could not be read is. */
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

  /** `vouchedFor`: each association that has records was compared with something from outside. */
  verdict(vouchedFor: boolean): Verdict {
    if (this.found === 0) return vouchedFor && this.#open === 0 ? 'whole' : 'cannot be told'
    return this.#decided > 0 ? 'altered' : 'cannot be told'
  }
}
