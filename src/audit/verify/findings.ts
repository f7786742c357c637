/** Prints findings as they come. Of findings of one kind about paths, only the first few are printed. */
import type { Io } from '../../cli/io.ts'
import { plain } from '../../cli/plain.ts'
import { type Printer, wrapped } from '../../cli/print.ts'
import type { Finding, OnFinding } from './finding.ts'
import { Counts } from './verdict.ts'

const mostOfAKind = 20

export class Findings {
  readonly #print: Printer
  readonly #io: Io
  readonly #before: () => void
  readonly #waiting: Finding[] = []
  readonly #perKind = new Map<string, number>()
  readonly counts = new Counts()

  constructor(print: Printer, io: Io, before: () => void) {
    this.#print = print
    this.#io = io
    this.#before = before
  }

  readonly report: OnFinding = (finding) => {
    this.counts.add(finding)
    this.#waiting.push(finding)
  }

  async flush(): Promise<void> {
    if (this.#waiting.length > 0) this.#before()
    for (const finding of this.#waiting.splice(0)) {
      await this.#print.give(finding.level, { ...finding, level: undefined })
      if (this.#isNews(finding)) await this.#print.say(this.#text(finding))
    }
  }

  /** How many of each kind were not printed. */
  get unsaid(): [kind: string, count: number][] {
    return [...this.#perKind]
      .filter(([, count]) => count > mostOfAKind)
      .map(([kind, count]) => [kind, count - mostOfAKind])
  }

  #isNews({ kind }: Finding): boolean {
    const count = (this.#perKind.get(kind) ?? 0) + 1
    this.#perKind.set(kind, count)
    return count <= mostOfAKind
  }

  #text({ level, path, record, line, what, meaning }: Finding): string {
    const place = [
      record === undefined ? undefined : `record ${record}`,
      line === undefined ? undefined : `line ${line}`,
    ].filter(Boolean)
    const title = `${level === 'finding' ? 'FINDING' : 'note   '} ${[plain(path), ...place].join(', ')}`
    const rows = [...wrapped(what, this.#io.columns - 8), ...wrapped(meaning, this.#io.columns - 8)]
    return [title, ...rows.map((row) => `        ${row}`)].join('\n')
  }
}
