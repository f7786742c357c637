/**
 * The part `kill`: SIGKILL at random times under load, and at every n-th system call of a kind. It proves atomicity and recovery. That acknowledged
 * records are on the disk is proven by `power-cut`.
 *
 * After every kill the receiver is started again. The first post to each association must be answered with 2xx within 10 s, which includes waiting
 * for a lock that the kill left. Then posts that were not acknowledged are sent again, and the disk is read back.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingHere } from '../needs.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { isClean, judge, readDisk, Tally } from './audit-disk.ts'
import { Ledger, startLoad } from './load.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import { type Case, casesOf, firstOfAll, removeLocks, sample, scenes, stageOf } from './scenes.ts'
import { attach, hasEnded, startOneThreaded } from './strace.ts'

/** The number of kills at once, because a kill mostly waits until a lock becomes stale. */
const lanes = 16
const killsPerDirectory = 8
const fullCount = 1_000

type Shape = { readonly senders: number; readonly slugs: readonly string[]; readonly processes: number }

function shapeOf(dice: Random): Shape {
  const many = Array.from({ length: 12 }, (_, number) => `heron-ridge-${number}`)
  return {
    senders: dice.of([1, 16, 64]),
    slugs: dice.oneIn(2) ? many : ['heron-ridge'],
    processes: dice.of([1, 2]),
  }
}

function nameOf({ senders, slugs, processes }: Shape): string {
  return `${senders} senders, ${slugs.length} associations, ${processes} processes`
}

type Lane = { readonly name: string; readonly root: string; readonly dice: Random; readonly kills: number }

/** Kills the receivers of one data directory again and again. */
async function killOften({ name, root, dice, kills }: Lane, tally: Tally, onKill: () => boolean) {
  const shape = shapeOf(dice)
  const ledger = new Ledger(name)
  const alive: Receiver[] = []
  const start = () => startReceiver({ DATA_DIR: root })
  const loadOn = (urls: readonly string[]) =>
    startLoad({
      ledger,
      random: dice,
      senders: shape.senders,
      slugs: shape.slugs,
      urls,
      overwriteOneIn: dice.of([3, 10]),
      longestFiller: dice.of([100, 4_000]),
    })
  try {
    for (let killed = 0; killed < kills; ) {
      while (alive.length < shape.processes) alive.push(await start())
      const load = loadOn(alive.map(({ url }) => url))
      await sleep(dice.below(400))
      const victims = alive.splice(0, dice.oneIn(3) ? alive.length : 1)
      await Promise.all(victims.map((victim) => victim.stop('SIGKILL')))
      await load.stop()
      killed += victims.length
      let next = await start()
      if (dice.oneIn(4)) {
        // The receiver is killed once more during its recovery, while senders wait for the old lock.
        const impatient = loadOn([next.url])
        await sleep(dice.below(1_500))
        await next.stop('SIGKILL')
        await impatient.stop()
        killed++
        next = await start()
      }
      alive.push(next)
      await ledger.firstPosts(next.url)
      await ledger.sendUnacknowledged(next.url)
      const verdict = judge(readDisk(root), ledger)
      tally.add(verdict, nameOf(shape))
      if (!isClean(verdict) || !onKill()) break
    }
    tally.cases += kills
  } finally {
    ledger.close()
    await Promise.all(alive.map((receiver) => receiver.stop('SIGKILL')))
  }
}

const calls = [
  'pwrite64',
  'write',
  'writev',
  'fdatasync',
  'fsync',
  'rename',
  'mkdir',
  'rmdir',
  'ftruncate',
  'openat',
  'utimensat',
  'unlink',
  'chmod',
  'fchmod',
]

async function killAt({ scene, call, nth }: Case, root: string, waitsForLock: boolean, tally: Tally) {
  const ledger = new Ledger('at')
  const receivers: Receiver[] = []
  const start = async () => {
    const receiver = await startOneThreaded({ DATA_DIR: root })
    receivers.push(receiver)
    return receiver
  }
  try {
    const first = await start()
    const stage = stageOf(first, ledger)
    await scene.before(stage)
    const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${nth}`]
    const trace = await attach(first.process.pid as number, `${root}.trace`, inject)
    await scene.act(stage)
    const isKilled = await hasEnded(first, 400)
    await trace.end()
    if (!isKilled) tally.note(`${scene.name}: ${call} ${nth} was not reached this time`)
    await first.stop('SIGKILL')
    if (!waitsForLock) removeLocks(root)
    const second = await start()
    await ledger.firstPosts(second.url)
    await ledger.sendUnacknowledged(second.url)
    tally.add(judge(readDisk(root), ledger), `${scene.name}, ${call} ${nth}`)
    tally.cases++
  } finally {
    ledger.close()
    await Promise.all(receivers.map((receiver) => receiver.stop('SIGKILL')))
  }
}

async function killEverywhere(run: Run, onCase: () => void): Promise<Row[]> {
  const dice = random(run.seed + 1)
  const cases: Case[] = []
  const all = [...scenes, ...firstOfAll]
  for (const [index, scene] of all.entries())
    cases.push(...(await casesOf(scene, join(run.scratch, `count-${index}`), calls)))
  const chosen = sample(cases, Math.max(8, Math.ceil(cases.length * run.share)), dice)
  const tallies = new Map(all.map(({ rule }) => [rule, new Tally('SIGKILL at every n-th call', rule)]))
  await inParallel(chosen, 4, async (one, index) => {
    if (performance.now() > run.until) return
    const root = join(run.scratch, `at-${index}`)
    await killAt(one, root, dice.oneIn(6), tallies.get(one.scene.rule) as Tally)
    onCase()
  })
  return [...tallies.values()].map((tally) => tally.row())
}

export const part: Part = {
  name: 'kill',
  async missing() {
    return missingHere(['strace'])
  },
  async run(run) {
    const total = Math.max(Math.ceil(fullCount * run.share), lanes)
    const tally = new Tally('SIGKILL under load', 'both')
    const each = Math.min(killsPerDirectory, Math.ceil(total / lanes))
    const plan = Array.from({ length: Math.ceil(total / each) }, (_, index) => index)
    let done = 0
    const onCase = (): boolean => {
      run.progress(Math.min(++done, total), total)
      return performance.now() < run.until
    }
    await inParallel(plan, lanes, async (index) => {
      if (performance.now() > run.until) return
      const root = join(run.scratch, `kill-${index}`)
      const kills = Math.min(each, total - index * each)
      const name = `${index}`
      await killOften({ name, root, dice: random(run.seed * 1_000 + index), kills }, tally, onCase)
    })
    return [tally.row(), ...(await killEverywhere(run, onCase))]
  },
}
