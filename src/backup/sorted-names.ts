/**
 * Sorts the names of a directory, or of a list, with little memory. If 200,000 names were all held at once, each would take 100
 * bytes. Names beyond the first few thousand are written to a file in sorted runs, and the runs are merged while they are read.
 */

import { closeSync, readSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { writeAllSync } from '../storage/files/durable-file.ts'
import { createFresh } from './directory.ts'

/** The number of names that are held in memory at a time. */
const mostHeld = 4_096
const bufferBytes = 16 * 1024
/** No name of a file has a NUL in it. */
const separator = '\0'

/** The names in their order. `scratch` is a directory of this user's; nothing is left in it, however the run ends. */
export function* sortedNames(names: Iterable<string>, scratch: string): Generator<string> {
  const runs = new Runs(scratch)
  try {
    let held: string[] = []
    for (const name of names) {
      if (held.length === mostHeld) {
        runs.write(held.sort())
        held = []
      }
      held.push(name)
    }
    yield* merged([...runs.readers(), held.sort().values()])
  } finally {
    runs.close()
  }
}

class Runs {
  readonly #scratch: string
  readonly #ends: number[] = []
  #fd: number | undefined

  constructor(scratch: string) {
    this.#scratch = scratch
  }

  write(names: readonly string[]): void {
    this.#fd ??= createUnnamed(join(this.#scratch, 'names.new'))
    const bytes = Buffer.from(names.map((name) => name + separator).join(''))
    const start = this.#ends.at(-1) ?? 0
    writeAllSync(this.#fd, bytes, start)
    this.#ends.push(start + bytes.length)
  }

  readers(): Iterator<string>[] {
    return this.#ends.map((end, index) => namesIn(this.#fd as number, this.#ends[index - 1] ?? 0, end))
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

/** Opens a file that disappears when it is closed, also when the process is killed. */
function createUnnamed(path: string): number {
  const fd = createFresh(path)
  unlinkSync(path)
  return fd
}

function* namesIn(fd: number, start: number, end: number): Generator<string> {
  const buffer = Buffer.allocUnsafe(bufferBytes)
  let rest: Buffer = Buffer.alloc(0)
  for (let at = start; at < end; ) {
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), at)
    if (count === 0) throw new Error('the file of sorted names was cut')
    at += count
    const bytes = Buffer.concat([rest, buffer.subarray(0, count)])
    const whole = bytes.lastIndexOf(separator) + 1
    yield* bytes.toString('utf8', 0, whole).split(separator).slice(0, -1)
    rest = bytes.subarray(whole)
  }
}

/** Searches all runs for the least of their first names, because there are only few runs. */
function* merged(runs: readonly Iterator<string>[]): Generator<string> {
  const heads = runs.map((run) => ({ run, next: run.next() }))
  for (;;) {
    let least: (typeof heads)[number] | undefined
    for (const head of heads)
      if (!head.next.done && (!least || head.next.value < least.next.value)) least = head
    if (!least) return
    yield least.next.value
    least.next = least.run.next()
  }
}
