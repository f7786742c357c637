/**
 * The part `input`: sends valid and spoilt bodies from a grammar, in valid and invalid frames, to a real receiver over raw sockets. Every
 * answer is compared with the answer that `oracle.ts` derives from the specification. Every stored record is read back and compared with the
 * envelope that was sent.
 *
 * These are violations: a 5xx, another answer than the expected one, no answer within 10 s, a record that differs from the envelope, a file that
 * has neither of the two permitted forms, memory or sockets that grow, a log line that would alarm somebody or contains the token.
 */
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Grammar, grammar } from './bodies.ts'
import type { Accepted } from './input/compare.ts'
import { Disk, strangers, unreadableIn } from './input/disk.ts'
import { depth, Lane } from './input/lane.ts'
import { type Post, post } from './input/post.ts'
import { type InputReceiver, residentMb, socketsOf, start } from './input/receiver.ts'
import { tokenSha256 } from './input/settings.ts'
import { shoot } from './input/shoot.ts'
import { shot } from './input/shots.ts'
import { slowSender } from './input/slow.ts'
import { Tally } from './input/tally.ts'
import type { Part, Run } from './part.ts'
import { type Random, random } from './random.ts'

const fullCount = 1_000_000
const lanes = 6
/** The posts of each lane between two checks of the disk. */
const posts = 256
const shotsAtOnce = 12
const slowAtOnce = 24

export const part: Part = {
  name: 'input',
  missing: async () =>
    existsSync('/proc/self/fd') ? undefined : 'needs /proc, to look at memory and open sockets',
  async run(run) {
    const data = join(run.scratch, 'data')
    mkdirSync(data)
    const receiver = await start(data)
    const tally = new Tally()
    const total = Math.max(2_000, Math.round(fullCount * run.share))
    try {
      await tryAll(run, receiver, data, tally, total)
    } finally {
      receiver.child.kill('SIGTERM')
      if (receiver.child.exitCode === null) await once(receiver.child, 'exit')
    }
    if (receiver.child.exitCode !== 0) tally.note('end', `exit code ${receiver.child.exitCode}`)
    for (const line of receiver.alarms) tally.note('log', line)
    for (const path of strangers(run.scratch)) tally.note('file', path)
    tally.unreadable += unreadableIn(data)
    return tally.rows()
  },
}

type Source = { readonly choose: Random; readonly bodies: Grammar }

/** Sends rounds of pipelined posts, each followed by a check of the disk. Single connections and slow senders run beside them. */
async function tryAll(
  run: Run,
  receiver: InputReceiver,
  data: string,
  tally: Tally,
  total: number,
): Promise<void> {
  // Each lane has its own random numbers, so that a seed gives the same input in whatever order the answers come.
  const sources = Array.from({ length: lanes + 2 }, (_, n) => random(run.seed * 16 + n)).map((choose) => ({
    choose,
    bodies: grammar(choose, tokenSha256),
  }))
  const [forShots, forSlow] = sources.slice(lanes) as [Source, Source]
  // The posts go to several files, because in one file each would wait for all before it.
  let [shots, slow] = [0, 0]
  const disk = new Disk(data, tally)
  const counts = { shots: Math.round(total * 0.06), slow: Math.max(24, Math.round(total * 0.001)) }
  const isOver = (): boolean => performance.now() >= run.until
  const url = { port: receiver.port, tally }
  const aside = Promise.all([
    inTurns(counts.shots, shotsAtOnce, isOver, () =>
      shoot(url, shot(forShots.choose, forShots.bodies.right(shots++ % 192))),
    ),
    inTurns(counts.slow, slowAtOnce, isOver, () =>
      slowSender(url, forSlow.choose, forSlow.bodies.right(slow++ % 192)),
    ),
  ])
  const bulk = total - counts.shots - counts.slow
  const connections: (Lane | undefined)[] = Array.from({ length: lanes }, () => undefined)
  const memory: number[] = []
  for (let done = 0; done < bulk && !isOver(); done += lanes * posts) {
    const accepted: Accepted[] = []
    const left = Math.ceil(Math.min(posts, (bulk - done) / lanes))
    await Promise.all(
      connections.map(async (_, n) => {
        const lane = connections[n] ?? (await Lane.to(receiver.port))
        const { choose, bodies } = sources[n] as Source
        const next = (at: number): Post => post(choose, bodies, n * depth + (at % depth), at === left - 1)
        connections[n] = await lane.send(left, next, tally, accepted)
      }),
    )
    disk.check(accepted)
    memory.push(residentMb(receiver.child))
    run.progress(Math.min(tally.cases, total), total)
  }
  await aside
  for (const lane of connections) lane?.socket.destroy()
  await delay(1_000)
  tally.lookAtMemory(memory)
  tally.lookAtCuts()
  const open = socketsOf(receiver.child)
  if (open > receiver.sockets) tally.note('sockets', `${receiver.sockets} at first, ${open} at the end`)
  disk.end()
}

/** Runs `count` pieces of work, some at a time. */
async function inTurns(
  count: number,
  atOnce: number,
  isOver: () => boolean,
  one: () => Promise<void>,
): Promise<void> {
  let left = count
  const turn = async (): Promise<void> => {
    while (left-- > 0 && !isOver()) await one()
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, turn))
}
