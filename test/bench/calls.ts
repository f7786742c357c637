/**
 * `npm run bench -- --calls`: strace counts the system calls and the turns of the event loop that one request takes. The counts do not
 * depend on how busy the machine is, except for `futex`, because whether a thread has to be woken is a matter of chance.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockName } from '../../src/records/layout.ts'
import { attach } from '../faults/strace.ts'
import { missingHere } from '../needs.ts'
import { exchange } from './connection.ts'
import { directoryOf } from './fill.ts'
import type { Programs } from './programs.ts'
import { type RequestKind, requestFor } from './request.ts'

export type Calls = {
  /** The number of calls of all threads, by the name of the call. */
  readonly calls: ReadonlyMap<string, number>
  /** The turns of the event loop of the first thread. */
  readonly turns: number
  /** The output of strace, one line a call, for a reader who wants to know more. */
  readonly lines: readonly string[]
}

/** Counts the calls of a running process while `work` runs. strace writes to `file`. */
export async function callsDuring(pid: number, file: string, work: () => Promise<void>): Promise<Calls> {
  const trace = await attach(pid, file, [])
  const outcome = await Promise.allSettled([work()])
  const lines = await trace.end()
  if (outcome[0].status === 'rejected') throw outcome[0].reason
  return callsIn(pid, lines)
}

/** Counts the lines of strace -f: `<thread> <call>(<arguments>) = <result>`. A call has two lines when a call of another thread came between. */
export function callsIn(pid: number, lines: readonly string[]): Calls {
  const calls = new Map<string, number>()
  let turns = 0
  for (const line of lines) {
    const [, thread, name] = /^(\d+) +(\w+)\(/.exec(line) ?? []
    if (name !== undefined) calls.set(name, (calls.get(name) ?? 0) + 1)
    // In each turn libuv polls once without waiting, and polls again with waiting only when it found nothing.
    const isLook = /\bepoll_pwait\b.*, 1024, 0, NULL, 8\)/.test(line)
    if (isLook && Number(thread ?? /^(\d+) /.exec(line)?.[1]) === pid) turns++
  }
  return { calls, turns, lines }
}

export type Lone = Calls & { readonly what: string }

/** Requests before the count: enough to finish work that is done once, and few enough that the code is as cold as on a real node. */
const before = 20
/** A pause, after which the receiver asks for the free space again and has released a lock that was just used. */
const quietMs = 600
/** So many requests are traced. The one with the fewest calls counts, because no work of the background fell into it. */
const tries = 5

/** Traces one post on a connection of its own, from its arrival until all its work is done. */
export async function lonePosts(programs: Programs, scratch: string): Promise<readonly Lone[]> {
  const missing = missingHere(['strace'])
  if (missing !== undefined) throw new Error(`--calls needs ${missing}`)
  const root = mkdtempSync(join(scratch, 'calls-'))
  const server = await programs.start('bundled', root)
  let number = 0
  const post = async (kind: RequestKind): Promise<void> => {
    const request = requestFor(kind, false)
    request.set(number++, 0, 0)
    const { status, body } = await exchange(server.port, request.bytes)
    if (status !== 201 && status !== 200) throw new Error(`a request was not taken: ${status} ${body}`)
    while (existsSync(join(directoryOf(root), lockName))) await sleep(10)
  }
  const fewest = async (kind: 'append' | 'overwrite'): Promise<Lone> => {
    for (let at = 0; at < before; at++) await post(kind)
    let least: Calls | undefined
    for (let at = 0; at < tries; at++) {
      await sleep(quietMs)
      // The log line is written 20 ms after the answer.
      const found = await callsDuring(server.pid, join(scratch, 'trace'), () =>
        post(kind).then(() => sleep(100)),
      )
      if (!least || totalOf(found) < totalOf(least)) least = found
    }
    return { what: `one lone ${kind}`, ...(least as Calls) }
  }
  try {
    return [await fewest('append'), await fewest('overwrite')]
  } finally {
    await server.kill()
  }
}

export function totalOf({ calls }: Calls): number {
  return [...calls.values()].reduce((sum, count) => sum + count, 0)
}
