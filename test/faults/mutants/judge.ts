/** Makes mistakes one after another, each in a copy of the tree, and runs the tests that should notice it. */
import { Copy } from './copy.ts'
import type { Generated } from './generate.ts'
import type { Kept } from './kept.ts'

export type Plan = {
  readonly testsOf: (mutant: Generated) => readonly string[]
  readonly limitOf: (test: string) => number
}
/** `by` is the test that noticed the mistake; null when none of the tests did. `hung` says that the mistake made this test hang. */
export type Verdict = {
  readonly by: string | null
  readonly hung?: boolean
  readonly tests: readonly string[]
}
export type Judged = { readonly mutant: Generated; readonly by: string | null }

class Judge {
  readonly #plan: Plan
  /** Whether each test passes without any mistake. A test is run without one only once, when it has failed for the first time. */
  readonly #sound = new Map<string, boolean>()

  constructor(plan: Plan) {
    this.#plan = plan
  }

  async judge(copy: Copy, mutant: Generated): Promise<Verdict> {
    const tests = this.#plan.testsOf(mutant)
    for (const test of tests) {
      const sign = await this.#signOf(copy, test, mutant)
      if (sign) return { by: test, hung: sign === 'hangs', tests }
    }
    return { by: null, tests }
  }

  /** The tests that failed without any mistake. */
  unsound(): string[] {
    return [...this.#sound].filter(([, isSound]) => !isSound).map(([test]) => test)
  }

  /** How the test shows the mistake: it fails or hangs with the mistake, and passes without. */
  async #signOf(copy: Copy, test: string, mutant: Generated): Promise<'fails' | 'hangs' | undefined> {
    const limit = this.#plan.limitOf(test)
    const outcome = await copy.with(mutant, () => copy.run(test, limit))
    if (outcome === 'passed') return undefined
    const passes = async (): Promise<boolean> => await copy.passes(test, limit)
    // Either the mistake made the test hang, or the machine is so busy now that the test takes as long without it.
    if (outcome === 'late') return (await copy.passes(test, limit / 2)) ? 'hangs' : undefined
    // A test may fail by chance once on a busy machine.
    const isSound = this.#sound.get(test) ?? ((await passes()) || (await passes()))
    this.#sound.set(test, isSound)
    return isSound ? 'fails' : undefined
  }
}

function told({ name }: Generated, { by, tests }: Verdict, began: number): void {
  const seconds = Math.round((performance.now() - began) / 1000)
  console.log(`${name}  ${by ? `killed by ${by}` : `survived ${tests.join(', ')}`} (${seconds} s)`)
}

/** Runs `work` on all items, in two copies of the tree at once, because a test waits most of its time. */
export async function inCopies<T>(
  items: readonly T[],
  work: (copy: Copy, item: T) => Promise<void>,
): Promise<void> {
  const waiting = [...items]
  const one = async (copy: Copy): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(copy, item)
  }
  await Promise.all([new Copy(), new Copy()].map(one))
}

export async function judgeAll(
  chosen: readonly Generated[],
  plan: Plan,
  kept: Kept<Verdict>,
): Promise<{ judged: Judged[]; unsound: readonly string[] }> {
  const judged: Judged[] = []
  const judge = new Judge(plan)
  await inCopies(chosen, async (copy, mutant) => {
    const began = performance.now()
    const verdict = await kept.of(mutant.name, () => judge.judge(copy, mutant))
    told(mutant, verdict, began)
    judged.push({ mutant, by: verdict.by })
  })
  return { judged, unsound: judge.unsound() }
}
