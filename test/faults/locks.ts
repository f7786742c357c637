/**
 * The part `locks`: the lock in situations that it cannot notice. A holder is stopped beyond the stale time and goes on (at random times and
 * after every n-th system call), several processes take over one stale lock at once, a kill leaves locks, event loops stall. There must never be
 * two writers, a removed lock of another process, or a lost or doubled record.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Json } from '../../contracts/contract.ts'
import { missingHere } from '../needs.ts'
import { startReceiver } from '../receiver.ts'
import { judge, readDisk, Tally } from './audit-disk.ts'
import { isStored, Ledger, type PostAnswer, type Sent, startLoad, told } from './load.ts'
import { canMake, mountNew } from './mounts.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import { type Case, casesOf, NotReady, sample, scenes, stageOf } from './scenes.ts'
import { attach, hasWritten, startOneThreaded } from './strace.ts'
import type { Order, WriterReply } from './writer.ts'

const staleMs = 5_000
/** The patience of senders, because an answer of a stopped receiver takes as long as it is stopped. */
const patienceMs = 40_000

/** Runs two receivers on one directory under load, and stops one of them now and then. */
async function stopUnderLoad(root: string, dice: Random, stops: number, tally: Tally): Promise<void> {
  const ledger = new Ledger(root.slice(root.lastIndexOf('/') + 1), [503, 408], patienceMs)
  const receivers = await Promise.all([startReceiver({ DATA_DIR: root }), startReceiver({ DATA_DIR: root })])
  try {
    const slugs = Array.from({ length: dice.of([1, 6]) }, (_, number) => `heron-${number}`)
    const loads = receivers.map(({ url }) =>
      startLoad({
        ledger,
        random: dice,
        senders: dice.of([1, 4]),
        slugs,
        urls: [url],
        overwriteOneIn: 8,
        longestFiller: 400,
        pauseMs: 30,
      }),
    )
    for (let stop = 0; stop < stops; stop++) {
      await sleep(dice.below(300))
      const victim = dice.of(receivers).process
      victim.kill('SIGSTOP')
      await sleep(dice.oneIn(4) ? dice.below(staleMs) : staleMs + 200 + dice.below(3_000))
      victim.kill('SIGCONT')
      tally.cases++
    }
    await sleep(300)
    await Promise.all(loads.map((load) => load.stop()))
    await ledger.sendUnacknowledged(receivers[0].url)
    tally.add(judge(readDisk(root), ledger))
  } finally {
    ledger.close()
    await Promise.all(receivers.map((receiver) => receiver.stop('SIGKILL')))
  }
}

const calls = [
  'openat',
  'pwrite64',
  'pread64',
  'fdatasync',
  'fsync',
  'mkdir',
  'rmdir',
  'utimensat',
  'ftruncate',
  'statx',
  'chmod',
  'fchmod',
  'close',
]

/** Stops one receiver after a system call until another one has stored the posts that waited for the lock. */
async function stopAfter({ scene, call, nth }: Case, root: string, tally: Tally): Promise<void> {
  const name = `${scene.name}, ${call} ${nth}`
  const ledger = new Ledger('stop', [503, 408], patienceMs)
  const [stopped, other] = await Promise.all([
    startOneThreaded({ DATA_DIR: root }),
    startReceiver({ DATA_DIR: root }),
  ])
  const pid = stopped.process.pid as number
  const file = `${root}.trace`
  try {
    const stage = stageOf(stopped, ledger)
    await scene.before(stage)
    const inject = ['-e', `trace=${call},pwrite64,statx`, '-e', `inject=${call}:signal=SIGSTOP:when=${nth}`]
    const trace = await attach(pid, file, inject)
    const acting = scene.act(stage)
    if (!(await hasWritten(file, /stopped by SIGSTOP/, 2_000)))
      tally.note(`${name} was not reached this time`)
    const since = performance.now()
    const slug = scene.name.startsWith('first') ? stage.fresh : stage.known
    for (let count = 0; count < 3; count++) {
      const answer = await ledger.post(other.url, ledger.newScenario(slug))
      if (!isStored(answer)) tally.wrongly(`${name}: while one is stopped, the other answers ${told(answer)}`)
    }
    await sleep(Math.max(0, staleMs + 300 - (performance.now() - since)))
    // SIGCONT is sent again and again, because the n-th call of another thread stops the process once more.
    const waking = setInterval(() => process.kill(pid, 'SIGCONT'), 100)
    await acting.finally(() => clearInterval(waking))
    const lines = await trace.end()
    tally.cases++
    if (isBetweenFenceAndWrite(lines, pid)) {
      tally.note(
        'stopped between the last look at the file and the write: not promised (src/storage/files/lock.ts)',
      )
      return
    }
    await ledger.sendUnacknowledged(other.url)
    tally.add(judge(readDisk(root), ledger), name)
  } catch (trouble) {
    // The machine is so busy that a heartbeat came too late.
    if (!(trouble instanceof NotReady)) throw trouble
    tally.note(`not tried: ${trouble.message}`)
  } finally {
    ledger.close()
    await Promise.all([stopped, other].map((receiver) => receiver.stop('SIGKILL')))
  }
}

/** Whether the main thread wrote right after its stop, without another check of the lock. */
function isBetweenFenceAndWrite(lines: readonly string[], pid: number): boolean {
  const stop = lines.findIndex((line) => line.includes('stopped by SIGSTOP'))
  const next = lines.slice(stop).find((line) => new RegExp(`^${pid} +(pwrite64|statx)\\(`).test(line))
  return stop !== -1 && next !== undefined && /pwrite64\(\d+<[^>]*records\.json>/.test(next)
}

type Writer = {
  readonly process: ChildProcess
  /** The number of fresh locks of other processes that it removed. */
  foreign(): number
  put(sent: Sent, at?: number): Promise<void>
  order(order: Order): void
}

async function startWriter(root: string, graveyard: string): Promise<Writer> {
  const child = fork(join(import.meta.dirname, 'writer.ts'), [root, graveyard], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  const waiting = new Map<number, (reply: WriterReply) => void>()
  let foreign = 0
  let number = 0
  child.on('message', (reply: WriterReply) => {
    foreign = reply.foreign
    waiting.get(reply.number)?.(reply)
    waiting.delete(reply.number)
  })
  return {
    process: child,
    foreign: () => foreign,
    order: (order) => child.send(order),
    async put(sent, at = 0) {
      const sentAt = performance.now()
      const reply = new Promise<WriterReply>((resolve) => waiting.set(++number, resolve))
      const envelope = sent.envelope as Record<string, Json>
      child.send({ kind: 'put', number, envelope, at } satisfies Order)
      const { outcome } = await reply
      const body = (outcome.ok ? outcome.receipt : { type: outcome.fault }) as PostAnswer['body']
      const answer = { status: outcome.ok ? 200 : 503, body }
      const endedAt = performance.now()
      sent.attempts.push({ sentAt, endedAt, ms: endedAt - sentAt, answer })
    },
  }
}

async function withWriters(
  run: Run,
  name: string,
  count: number,
  job: (writers: readonly Writer[], root: string) => Promise<void>,
): Promise<void> {
  const root = join(run.scratch, name)
  const graveyard = join(run.scratch, `${name}-removed`)
  mkdirSync(root)
  mkdirSync(graveyard)
  const writers = await Promise.all(Array.from({ length: count }, () => startWriter(root, graveyard)))
  try {
    await job(writers, root)
  } finally {
    for (const writer of writers) writer.process.kill('SIGKILL')
  }
}

/** Posts each until it is stored, as an addon's spool does. */
async function putAll(writer: Writer, sent: readonly Sent[], tally: Tally): Promise<void> {
  for (const one of sent) {
    for (let attempt = 0; attempt < 3 && !one.attempts.some(({ answer }) => isStored(answer)); attempt++)
      await writer.put(one)
    if (!one.attempts.some(({ answer }) => isStored(answer))) tally.wrongly('a retry is not stored')
  }
}

/** Several processes find the same stale lock at the same time. */
async function stampede(run: Run, onCase: () => void): Promise<Row> {
  const tally = new Tally('take-overs at once of one stale lock', 'append-only')
  const rounds = Math.max(2, Math.ceil(80 * run.share))
  await withWriters(run, 'stampede', 6, async (writers, root) => {
    for (let round = 0; round < rounds && performance.now() < run.until; round++) {
      const slugs = Array.from({ length: 24 }, (_, number) => `heron-${round}-${number}`)
      const ledger = new Ledger(`${round}`)
      const at = Date.now() + 30
      for (const slug of slugs) {
        const lock = join(root, 'scn01', slug, 'records.json.lock')
        mkdirSync(lock, { recursive: true })
      }
      await Promise.all(
        slugs.flatMap((slug) => {
          const shared = ledger.newScenario(slug)
          return writers.flatMap((writer) => [
            writer.put(ledger.newScenario(slug), at),
            writer.put(shared, at),
          ])
        }),
      )
      await putAll(writers[0] as Writer, ledger.sent, tally)
      tally.add(judge(readDisk(root, slugs), ledger))
      tally.cases += slugs.length
      onCase()
    }
    for (const writer of writers)
      if (writer.foreign() > 0) tally.wrongly(`removed ${writer.foreign()} fresh locks of somebody else`)
  })
  return tally.row()
}

/** The event loops of processes stall while they hold the lock or wait for it. */
async function stalls(run: Run, dice: Random, onCase: () => void): Promise<Row> {
  const tally = new Tally('stalled event loops', 'append-only')
  const total = Math.max(6, Math.ceil(120 * run.share))
  await withWriters(run, 'stalls', 4, async (writers, root) => {
    const ledger = new Ledger('stall')
    let isOver = false
    const send = async (writer: Writer): Promise<void> => {
      while (!isOver) {
        await writer.put(ledger.newScenario(`heron-${dice.below(3)}`, 'x'.repeat(dice.below(2_000))))
        await sleep(dice.below(10))
      }
    }
    const sending = Promise.all(writers.flatMap((writer) => [send(writer), send(writer), send(writer)]))
    for (let stall = 0; stall < total && performance.now() < run.until; stall += 2) {
      // Two processes stall at a time, so that the others take over.
      const longest = dice.of([100, 2_000, staleMs + 2_000])
      for (const writer of sample(writers, 2, dice))
        writer.order({ kind: 'stall', ms: longest / 2 + dice.below(longest / 2) })
      await sleep(longest + dice.below(300))
      tally.cases += 2
      onCase()
    }
    isOver = true
    await sending
    await putAll(writers[0] as Writer, ledger.sent, tally)
    tally.add(judge(readDisk(root), ledger))
    for (const writer of writers)
      if (writer.foreign() > 0) tally.wrongly(`removed ${writer.foreign()} fresh locks of somebody else`)
    ledger.close()
  })
  return tally.row()
}

/** Processes wait for a fresh lock whose holder is gone, at least for the stale time and at most 10 s. */
async function leftLocks(run: Run): Promise<Row> {
  const tally = new Tally('a lock left by a kill', 'append-only')
  const root = join(run.scratch, 'left')
  const ledger = new Ledger('left')
  const receiver = await startReceiver({ DATA_DIR: root })
  try {
    const slugs = Array.from(
      { length: Math.max(8, Math.ceil(100 * run.share)) },
      (_, number) => `heron-${number}`,
    )
    for (const slug of slugs) mkdirSync(join(root, 'scn01', slug, 'records.json.lock'), { recursive: true })
    const since = performance.now()
    await inParallel(slugs, slugs.length, async (slug) => {
      const answer = await ledger.post(receiver.url, ledger.newScenario(slug))
      const waited = performance.now() - since
      if (!isStored(answer)) tally.wrongly(`after a lock that was left: ${told(answer)}`)
      if (waited < staleMs - 500) tally.wrongly(`a lock was taken over after ${Math.round(waited)} ms`)
      tally.cases++
    })
    tally.add(judge(readDisk(root), ledger))
  } finally {
    ledger.close()
    await receiver.stop('SIGKILL')
  }
  return tally.row()
}

async function stopEverywhere(run: Run, onCase: () => void): Promise<Row> {
  const tally = new Tally('SIGSTOP after every n-th call, until another has taken over', 'append-only')
  const cases: Case[] = []
  const appends = scenes.filter(({ rule }) => rule === 'append-only')
  await inParallel(appends, 2, async (scene, index) => {
    cases.push(...(await casesOf(scene, join(run.scratch, `count-${index}`), calls)))
  })
  cases.sort((a, b) => (`${a.scene.name} ${a.call} ${a.nth}` < `${b.scene.name} ${b.call} ${b.nth}` ? -1 : 1))
  const chosen = sample(cases, Math.max(8, Math.ceil(cases.length * run.share)), random(run.seed))
  await inParallel(chosen, 6, async (one, index) => {
    if (performance.now() > run.until) return
    await stopAfter(one, join(run.scratch, `after-${index}`), tally)
    onCase()
  })
  return tally.row()
}

async function stopOften(run: Run, onCase: () => void): Promise<Row[]> {
  const total = Math.max(6, Math.ceil(240 * run.share))
  const stopsEach = 2
  const plain = new Tally('SIGSTOP at random instants under load', 'both')
  const withoutBirth = new Tally('the same where directories have no time of birth', 'both')
  const old = join(run.scratch, 'ext4')
  const mount = canMake('ext4')
    ? mountNew('ext4', old, { bytes: 96 * 1024 * 1024, words: ['-I', '128'] })
    : undefined
  if (!mount) withoutBirth.note('skipped: mkfs.ext4')
  try {
    const plan = Array.from({ length: Math.ceil(total / stopsEach) }, (_, index) => index)
    await inParallel(plan, 4, async (index) => {
      if (performance.now() > run.until) return
      const isOld = mount !== undefined && index % 3 === 0
      const root = join(isOld ? old : run.scratch, `stop-${index}`)
      await stopUnderLoad(root, random(run.seed * 1_000 + index), stopsEach, isOld ? withoutBirth : plain)
      onCase()
    })
  } finally {
    mount?.remove()
  }
  return [plain.row(), withoutBirth.row()]
}

export const part: Part = {
  name: 'locks',
  async missing() {
    return missingHere(['strace'])
  },
  async run(run) {
    let done = 0
    const total = Math.ceil(750 * run.share) + 30
    const onCase = (): void => run.progress(Math.min(++done, total), total)
    const [often, ...others] = await Promise.all([
      stopOften(run, onCase),
      stopEverywhere(run, onCase),
      stampede(run, onCase),
      stalls(run, random(run.seed + 2), onCase),
      leftLocks(run),
    ])
    return [...often, ...others]
  },
}
