/**
 * Processes that judge contents while this one follows the chain. Each runs the program's own file again, which is
 * scripts/audit.ts in a checkout and one bundled file in a release, so no second file has to be found. (Threads would
 * not do: tsx does not reach into them on Node 20.)
 */
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { RangeJudgement } from './content-range.ts'
import type { Judge, Stretch } from './in-directory.ts'
import { judgeStretch } from './stretch.ts'

/** `judge` takes stretches whose `path` is below the data directory that the judges were started for. */
export type Judges = AsyncDisposable & { readonly judge: Judge }

/** The first argument of a program that is to answer stretches. */
export const judgeArgument = '--judge-stretches'

type AskedStretch = {
  readonly stretch: Stretch
  resolve(found: RangeJudgement): void
  reject(error: unknown): void
}
type JudgeAnswer = { readonly found: RangeJudgement } | { readonly error: string }

/** Less than this is judged before another process has started. */
const worthwhileBytes = 48 * 1024 * 1024

/** `program`: the file to run; undefined keeps everything in this process. */
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

/** In such a process: answers stretches until the one that started it is gone. */
export function serveJudges(): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', (stretch: Stretch) => {
    judgeStretch(stretch).then(
      (found) => process.send?.({ found } satisfies JudgeAnswer),
      (error: unknown) => process.send?.({ error: (error as Error).message } satisfies JudgeAnswer),
    )
  })
}
