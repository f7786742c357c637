/**
 * Starts processes that judge contents while this process follows the chain. Each of them runs the file of this program again:
 * that is scripts/audit.ts in a checkout and the one bundled file in a release. (Threads cannot be used, because on Node 20 tsx
 * does not work in threads.)
 */
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { RangeJudgement } from './content-range.ts'
import type { Judge, Stretch } from './in-directory.ts'
import { judgeStretch } from './stretch.ts'

/** `judge` expects paths below the data directory for which the judges were started. */
export type Judges = AsyncDisposable & { readonly judge: Judge }

/** The first argument of a process that is to judge stretches. */
export const judgeArgument = '--judge-stretches'

type AskedStretch = {
  readonly stretch: Stretch
  resolve(found: RangeJudgement): void
  reject(error: unknown): void
}
type JudgeAnswer = { readonly found: RangeJudgement } | { readonly error: string }

/** Fewer bytes than this are judged before another process could have started. */
const worthwhileBytes = 48 * 1024 * 1024

/** `program` is the file to run; undefined: everything is judged in this process. */
export function startJudges(root: string, program: string | undefined, bytes: number): Judges {
  const processes = availableParallelism()
  const onDisk = (stretch: Stretch): Stretch => ({ ...stretch, path: join(root, stretch.path) })
  if (program === undefined || processes < 2 || bytes < worthwhileBytes)
    return { judge: (stretch) => judgeStretch(onDisk(stretch)), [Symbol.asyncDispose]: async () => {} }
  const bench = new JudgePool(program, processes)
  return {
    judge: (stretch) => bench.judge(onDisk(stretch)),
    [Symbol.asyncDispose]: async () => bench.end(),
  }
}

class JudgePool {
  readonly #program: string
  readonly #most: number
  readonly #queue: AskedStretch[] = []
  readonly #idle: ChildProcess[] = []
  readonly #busy = new Map<ChildProcess, AskedStretch>()
  readonly #all: ChildProcess[] = []
  #failure: Error | undefined

  constructor(program: string, most: number) {
    this.#program = program
    this.#most = most
  }

  judge(stretch: Stretch): Promise<RangeJudgement> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ stretch, resolve, reject })
      this.#next()
    })
  }

  end(): void {
    for (const child of this.#all) child.kill()
  }

  #next(): void {
    if (this.#failure) this.#fail(this.#failure)
    if (this.#queue.length === 0) return
    const child = this.#idle.pop() ?? (this.#all.length < this.#most ? this.#start() : undefined)
    if (!child) return
    const waiting = this.#queue.shift() as AskedStretch
    this.#busy.set(child, waiting)
    child.send(waiting.stretch)
  }

  #start(): ChildProcess {
    const child = fork(this.#program, [judgeArgument])
    this.#all.push(child)
    child.on('error', (error) => this.#fail(error))
    child.on('exit', () => this.#fail(new Error('a process that judges contents ended too early')))
    child.on('message', (answer: JudgeAnswer) => this.#answered(child, answer))
    return child
  }

  #answered(child: ChildProcess, answer: JudgeAnswer): void {
    const waiting = this.#busy.get(child)
    this.#busy.delete(child)
    this.#idle.push(child)
    if ('error' in answer) waiting?.reject(new Error(answer.error))
    else waiting?.resolve(answer.found)
    this.#next()
  }

  #fail(error: Error): void {
    this.#failure = error
    for (const waiting of [...this.#busy.values(), ...this.#queue.splice(0)]) waiting.reject(error)
    this.#busy.clear()
  }
}

/** Runs in such a process: judges stretches until the parent process has ended. */
export function serveJudges(): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', (stretch: Stretch) => {
    judgeStretch(stretch).then(
      (found) => process.send?.({ found } satisfies JudgeAnswer),
      (error: unknown) => process.send?.({ error: (error as Error).message } satisfies JudgeAnswer),
    )
  })
}
