/** The counts of the part `input`: answers by kind, faults, memory. */
import type { Row } from '../part.ts'

/** The kind of a connection that was cut after a refusal while posts on it were not answered yet. */
export const cutKind = 'cut after a refusal'

export class Tally {
  cases = 0
  duplicated = 0
  unreadable = 0
  #lost = { append: 0, overwrite: 0 }
  #wrong = 0
  #slowest = 0
  readonly #kinds = new Map<string, number>()
  readonly #notes = new Map<string, { count: number; first: string }>()

  answered(kind: string, ms: number): void {
    this.cases++
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
    this.#slowest = Math.max(this.#slowest, ms)
  }

  note(what: string, first: string): void {
    this.#wrong++
    const known = this.#notes.get(what)
    if (known) known.count++
    else this.#notes.set(what, { count: 1, first })
  }

  lost(rule: 'append' | 'overwrite', first: string): void {
    this.#lost[rule]++
    this.note('lost', first)
    this.#wrong--
  }

  lookAtMemory(megabytes: readonly number[]): void {
    // The first part of a run does not count, because code is compiled and tables grow to their size.
    const early = Math.max(...megabytes.slice(0, Math.ceil(megabytes.length / 4)))
    const late = Math.max(...megabytes.slice(-Math.ceil(megabytes.length / 4)))
    this.memory = `memory ${Math.round(early)} MB at most in the first quarter, ${Math.round(late)} MB in the last`
    if (late > early * 1.25 + 24) this.note('memory', this.memory)
  }

  /** Requires that such cuts are rare, because only a machine that stalls has any. */
  lookAtCuts(): void {
    const count = this.#kinds.get(cutKind) ?? 0
    if (count > 2 + this.cases / 50_000) this.note('closed early', `${count} connections after a refusal`)
  }

  memory = ''

  rows(): Row[] {
    const kinds = [...this.#kinds].map(([kind, count]) => `${kind} ${count}`).sort()
    const notes = [...this.#notes].map(([what, { count, first }]) => `${count} × ${what}, first: ${first}`)
    notes.push(`${kinds.join(', ')}; slowest answer ${Math.round(this.#slowest)} ms; ${this.memory}`)
    const { append, overwrite } = this.#lost
    return [
      {
        fault: 'any input',
        rule: 'both',
        cases: this.cases,
        lost: append + overwrite,
        duplicated: this.duplicated,
        unreadable: this.unreadable,
        wrong: this.#wrong,
        notes,
      },
    ]
  }
}
