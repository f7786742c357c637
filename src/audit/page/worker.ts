/**
 * The program of every worker. One worker is the desk: it follows the chains and answers the page. The others judge stretches
 * of records for the desk, each in a thread of its own, as the tool does with processes.
 */

import type { Judge, Stretch } from '../verify/in-directory.ts'
import { type CallPort, type Calls, type Remote, remote, serve, tell } from './call.ts'
import { Desk, type DeskProgress } from './desk.ts'
import { judgeIn } from './engine.ts'
import { type Opened, sourceOf } from './opened-directory.ts'
import { sha256Of } from './sha256.ts'

const page = self as unknown as CallPort

type Judging = {
  take(files: readonly Opened[]): void
  judge(stretch: Stretch): ReturnType<Judge>
  fileHash(path: string): Promise<string | undefined>
}

/** How many stretches are under way in one worker: one is judged while the bytes of the next are read. */
const atOnce = 2

/** Hands each stretch to the worker that has the least to do. */
class Bench {
  readonly #judges: { readonly remote: Remote<Judging>; busy: number }[]
  readonly #queue: (() => void)[] = []
  readonly #hashes = new Map<string, Promise<string | undefined>>()

  constructor(ports: readonly MessagePort[]) {
    this.#judges = ports.map((port) => ({ remote: remote<Judging>(port), busy: 0 }))
  }

  async take(files: readonly Opened[]): Promise<void> {
    this.#hashes.clear()
    await Promise.all(this.#judges.map((judge) => judge.remote.take(files)))
  }

  readonly judge: Judge = async (stretch) => {
    const judge = await this.#free()
    judge.busy++
    try {
      return await judge.remote.judge(stretch)
    } finally {
      judge.busy--
      this.#queue.shift()?.()
    }
  }

  /** The hash of a whole file. It is computed in another worker, because a long file would delay the answers to the person. */
  fileHash(path: string): Promise<string | undefined> {
    const found = this.#hashes.get(path) ?? this.#judges.at(-1)?.remote.fileHash(path)
    if (found) this.#hashes.set(path, found)
    return found ?? Promise.resolve(undefined)
  }

  async #free() {
    for (;;) {
      const [least] = [...this.#judges].sort((a, b) => a.busy - b.busy)
      if (least && least.busy < atOnce) return least
      await new Promise<void>((resolve) => this.#queue.push(resolve))
    }
  }
}

/** Progress is sent at most this often. */
const everyMs = 80

function deskCalls(version: string) {
  let bench: Bench | undefined
  let told = 0
  const desk = new Desk(version, (progress: DeskProgress) => {
    if (performance.now() - told < everyMs) return
    told = performance.now()
    tell(page, progress)
  })
  return {
    judges: (ports: readonly MessagePort[]) => {
      bench = new Bench(ports)
    },
    open: (opened: readonly Opened[]) => desk.open(opened),
    choose: (root: string) => desk.choose(root),
    check: async (kept: Parameters<Desk['check']>[0]) => {
      await bench?.take(desk.files)
      return desk.check(kept, bench?.judge ?? judgeIn(desk.files))
    },
    find: (...args: Parameters<Desk['find']>) => desk.find(...args),
    shown: (...args: Parameters<Desk['shown']>) => desk.shown(...args),
    record: (...args: Parameters<Desk['record']>) => desk.record(...args),
    line: (...args: Parameters<Desk['line']>) => desk.line(...args),
    latest: (path: string) => desk.latest(path),
    csv: (...args: Parameters<Desk['csv']>) => desk.csv(...args),
    fileHash: (path: string) => bench?.fileHash(path),
  } satisfies Calls
}

export type DeskCalls = ReturnType<typeof deskCalls>

function judgeCalls(): Judging & Calls {
  let files: readonly Opened[] = []
  let judge = judgeIn(files)
  return {
    take: (taken) => {
      files = taken
      judge = judgeIn(files)
    },
    judge: (stretch) => judge(stretch),
    fileHash: async (path) => {
      const file = files.find((opened) => opened.path === path)?.file
      return file && sha256Of(sourceOf(file), file.size)
    },
  }
}

const roles = {
  desk: (version: string): void => serve(page, { ...deskCalls(version) }),
  judge: (_version: string, port: MessagePort): void => serve(port, judgeCalls()),
} as const

/** The first message says which role this worker has. */
page.onmessage = ({ data }: MessageEvent<{ role: keyof typeof roles; version: string; port: MessagePort }>) =>
  roles[data.role](data.version, data.port)
