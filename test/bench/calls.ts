/**
 * `npm run bench -- --calls`: the system calls and the turns of the event loop that one request takes, counted by strace. Counts
 * do not depend on how busy the machine is, except for `futex`: whether a thread has to be woken is a matter of luck.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockName } from '../../src/records/layout.ts'
import { attach, missingHere } from '../faults/strace.ts'
import { exchange } from './connection.ts'
import { directoryOf } from './fill.ts'
import type { Programs } from './programs.ts'
import { type Kind, requestFor } from './request.ts'

export type Calls = {
  /** By name, of every thread. */
  readonly calls: ReadonlyMap<string, number>
  /** Turns of the event loop of the first thread. */
  readonly turns: number
  /** What strace wrote, a line a call, for whoever wants to know more. */
  readonly lines: readonly string[]
}

/** What a running process does while `work` is under way; `file` is where strace writes. */
export async function callsDuring(pid: number, file: string, work: () => Promise<void>): Promise<Calls> {
  const trace = await attach(pid, file, [])
  const outcome = await Promise.allSettled([work()])
  const lines = await trace.end()
  if (outcome[0].status === 'rejected') throw outcome[0].reason
  return callsIn(pid, lines)
}

/** Counts the lines of strace -f: `<thread> <call>(<arguments>) = <result>`, a call in two halves where another came between. */
export function callsIn(pid: number, lines: readonly string[]): Calls {
  const calls = new Map<string, number>()
  let turns = 0
  for (const line of lines) {
    const [, thread, name] = /^(\d+) +(\w+)\(/.exec(line) ?? []
    if (name !== undefined) calls.set(name, (calls.get(name) ?? 0) + 1)
    // libuv looks once without waiting in each turn, and waits only when nothing was found
    const isLook = /\bepoll_pwait\b.*, 1024, 0, NULL, 8\)/.test(line)
    if (isLook && Number(thread ?? /^(\d+) /.exec(line)?.[1]) === pid) turns++
  }
  return { calls, turns, lines }
}

export type Lone = Calls & { readonly what: string }

/** Enough that what is done once is done, and few enough that the code is as cold as on a node. */
const before = 20
/** Free space that was asked for a moment ago is not asked for again, and a lock that was just used is still held. */
const quietMs = 600
/** So many are traced, and the one with the fewest calls is told: nothing of the background fell into it. */
const tries = 5

/** One post alone on a connection of its own, from its arrival until nothing of it is left to do. */
export async function lonePosts(programs: Programs, scratch: string): Promise<readonly Lone[]> {
  const missing = missingHere(['strace'])
  if (missing !== undefined) throw new Error(`--calls needs ${missing}`)
  const root = mkdtempSync(join(scratch, 'calls-'))
  const server = await programs.start('bundled', root)
  let number = 0
  const post = async (kind: Kind): Promise<void> => {
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
      // the log is written 20 ms after the answer
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
