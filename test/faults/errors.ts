/**
 * The part `errors`: system calls fail, one at a time. Every n-th call of a kind fails with each error that it can have, once and from then on.
 *
 * The answer must be that of SPEC 2 (507 for a full disk, 503 otherwise), or a 2xx that is true. The existing data must stay. When the fault has
 * ended, the same process must store again within 10 s. A module that is loaded before the receiver makes short writes: it has the kernel write
 * fewer bytes than asked.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingHere } from '../needs.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { judge, marksOn, readDisk, Tally } from './audit-disk.ts'
import { isStored, Ledger, participantOf, told } from './load.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import {
  type Case,
  casesOf,
  NotReady,
  quietMs,
  recordsOf,
  type Stage,
  sample,
  scenes,
  stageOf,
} from './scenes.ts'
import { attach, startOneThreaded } from './strace.ts'

const lanes = 8

const full = ['ENOSPC', 'EDQUOT']
const errorsOf: Readonly<Record<string, readonly string[]>> = {
  openat: ['EIO', ...full, 'EROFS', 'EMFILE', 'EACCES'],
  pwrite64: ['EIO', ...full, 'EFBIG'],
  fdatasync: ['EIO', ...full],
  fsync: ['EIO', ...full],
  rename: ['EIO', ...full, 'EROFS', 'EACCES'],
  mkdir: ['EIO', ...full, 'EROFS', 'EACCES'],
  rmdir: ['EIO', 'EROFS', 'EACCES'],
  ftruncate: ['EIO'],
  statx: ['EIO', 'EACCES'],
  utimensat: ['EIO', 'EROFS', 'EACCES'],
  chmod: ['EIO', 'EROFS'],
  fchmod: ['EIO', 'EROFS'],
  unlink: ['EIO', 'EROFS'],
  pread64: ['EIO'],
  statfs: ['EIO'],
  close: ['EIO'],
  access: ['EIO'],
}
const calls = Object.keys(errorsOf)

type InjectedFault = Case & { readonly error: string; readonly lasts: boolean }

function nameOf({ scene, call, nth, error, lasts }: InjectedFault): string {
  return `${scene.name}, ${call} ${nth}${lasts ? ' and all later ones' : ''}, ${error}`
}

/** A receiver on which faults are tried. If it ends, that is a violation, and a new receiver replaces it. */
class Lane {
  #receiver: Receiver | undefined
  readonly root: string
  /** The fault that was tried last. */
  last = 'nothing'

  constructor(root: string) {
    this.root = root
  }

  async receiver(): Promise<Receiver> {
    const child = this.#receiver?.process
    const isGone = !child || child.exitCode !== null || child.signalCode !== null
    if (isGone) this.#receiver = await startOneThreaded({ DATA_DIR: this.root })
    return this.#receiver as Receiver
  }

  async end(): Promise<void> {
    await this.#receiver?.stop('SIGKILL')
  }
}

async function tryFault(fault: InjectedFault, lane: Lane, name: string, tally: Tally): Promise<void> {
  const { scene, call, nth, error, lasts } = fault
  const isFull = full.includes(error) || error === 'EFBIG'
  // If the disk is full only after the new file is in its place, the answer is 503, because a 507 would say that nothing was changed.
  const mayBeStored = isFull && scene.rule === 'overwrite-by-placekey'
  const ledger = new Ledger(name, mayBeStored ? [507, 503] : [isFull ? 507 : 503])
  const receiver = await lane.receiver()
  const stage = stageOf(receiver, ledger, `-${name}`)
  const wrongly = (what: string): void => tally.wrongly(`${nameOf(fault)}: ${what}`)
  try {
    await scene.before(stage)
    const when = lasts ? `${nth}+` : `${nth}`
    const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=${when}`]
    const trace = await attach(receiver.process.pid as number, join(lane.root, `${name}.trace`), inject)
    await scene.act(stage)
    await sleep(quietMs)
    const lines = await trace.end()
    tally.cases++
    if (!lines.some((line) => line.includes('(INJECTED)')))
      tally.note(`${scene.name}: ${call} was not reached`)
    if (receiver.process.exitCode !== null) wrongly('the receiver ended')
    const answered = (status: number) =>
      ledger.sent.filter(({ attempts }) => attempts.some(({ answer }) => answer?.status === status))
    const refused = answered(507)
    const silent = ledger.sent.some(({ attempts }) => attempts.some(({ answer }) => !answer))
    if (silent) wrongly('no answer')
    const slugs = [stage.known, stage.fresh]
    // After the fault and before anything is sent again, all files must be whole, and no record that got a 507 may be there.
    const disk = readDisk(lane.root, slugs)
    const marks = marksOn(disk)
    if (!lasts && refused.some(({ mark }) => marks.has(mark))) wrongly('507, but it is stored')
    if (mayBeStored && answered(503).some(({ mark }) => !marks.has(mark))) wrongly('503 for a full disk')
    if (!lasts && scene.name !== 'append after a torn write' && disk.unreadable.length > 0)
      wrongly('the file is not whole when the call has failed')
    // The receiver keeps the answer of statfs for a moment.
    if (call === 'statfs') await sleep(300)
    const alive = await lane.receiver()
    if (scene.rule === 'append-only') await ledger.sendUnacknowledged(alive.url)
    else await scene.act({ ...stage, receiver: alive })
    tally.add(judge(readDisk(lane.root, slugs), ledger), nameOf(fault))
  } catch (trouble) {
    if (!(trouble instanceof NotReady)) throw trouble
    tally.wrongly(`after ${lane.last}: ${trouble.message}`)
    await lane.end()
  } finally {
    lane.last = nameOf(fault)
    ledger.close()
  }
}

async function failEverywhere(run: Run, onCase: () => void): Promise<Row[]> {
  const dice = random(run.seed)
  const faults: InjectedFault[] = []
  await inParallel(scenes, 3, async (scene, index) => {
    const cases = await casesOf(scene, join(run.scratch, `count-${index}`), calls)
    for (const one of cases) {
      for (const error of errorsOf[one.call] as readonly string[])
        for (const lasts of [false, true]) faults.push({ ...one, error, lasts })
    }
  })
  const key = (fault: InjectedFault): string => nameOf(fault)
  faults.sort((a, b) => (key(a) < key(b) ? -1 : 1))
  const chosen = sample(faults, Math.max(30, Math.ceil(faults.length * run.share)), dice)
  const tallies = new Map<string, Tally>()
  for (const { rule } of scenes)
    for (const error of new Set(Object.values(errorsOf).flat()))
      if (!tallies.has(`${rule} ${error}`))
        tallies.set(`${rule} ${error}`, new Tally(`${error} on every n-th call`, rule))
  const free = Array.from({ length: lanes }, (_, index) => new Lane(join(run.scratch, `lane-${index}`)))
  const all = [...free]
  try {
    await inParallel(chosen, lanes, async (fault, index) => {
      if (performance.now() > run.until) return
      const lane = free.pop() as Lane
      await tryFault(fault, lane, `${index}`, tallies.get(`${fault.scene.rule} ${fault.error}`) as Tally)
      free.push(lane)
      onCase()
    })
  } finally {
    await Promise.all(all.map((lane) => lane.end()))
  }
  return [...tallies.values()].filter(({ cases }) => cases > 0).map((tally) => tally.row())
}

/** After EIO on a write or fdatasync of the records file, nothing may be appended before all of the file has been read again. */
async function verifiesAfterEio(run: Run): Promise<Row> {
  const tally = new Tally('EIO, then a full verification', 'append-only')
  const ledger = new Ledger('verify')
  const receiver = await startOneThreaded({ DATA_DIR: join(run.scratch, 'verify') })
  const pid = receiver.process.pid as number
  const stage: Stage = stageOf(receiver, ledger)
  const file = join(run.scratch, 'verify.trace')
  const postOne = () => ledger.post(receiver.url, ledger.newScenario(stage.known, 'x'.repeat(2_000)))
  try {
    for (let count = 0; count < 60; count++) await postOne()
    for (const call of ['pwrite64', 'fdatasync']) {
      for (const when of ['1', '1+']) {
        const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:error=EIO:when=${when}`]
        const records = ['-P', recordsOf(stage, stage.known)]
        const failing = await attach(pid, file, [...inject, ...records])
        const answer = await postOne()
        await sleep(quietMs)
        await failing.end()
        if (answer?.status !== 503) tally.wrongly(`${call} ${when}: ${told(answer)}`)
        const size = readFileSync(recordsOf(stage, stage.known)).length
        const watching = await attach(pid, file, ['-e', 'trace=pread64,pwrite64', ...records])
        const after = await postOne()
        await sleep(quietMs)
        const lines = await watching.end()
        if (!isStored(after)) tally.wrongly(`${call} ${when}, afterwards: ${told(after)}`)
        if (readBeforeWriting(lines) < size - 3)
          tally.wrongly(`${call} ${when}: appended before all was verified`)
        tally.cases++
      }
    }
    await ledger.sendUnacknowledged(receiver.url)
    tally.add(judge(readDisk(receiver.dataDir), ledger))
  } finally {
    ledger.close()
    await receiver.stop('SIGKILL')
  }
  return tally.row()
}

/** How far the file was read from its start, without a gap, before the first byte was written to it. */
function readBeforeWriting(lines: readonly string[]): number {
  let reached = 0
  for (const line of lines) {
    if (line.includes(' pwrite64(')) break
    const [, offset, got] = /pread64\(.*, \d+, (\d+)\) += (\d+)/.exec(line) ?? []
    if (offset && Number(offset) <= reached) reached = Math.max(reached, Number(offset) + Number(got))
  }
  return reached
}

/** A module that is loaded before the receiver. Every write at a position takes fewer bytes than it was given. */
const shortWrites = `
  import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module'
  const whole = fs.writeSync
  fs.writeSync = (fd, bytes, offset, length, position) =>
    typeof position === 'number' && length > 1
      ? whole(fd, bytes, offset, 1 + Math.floor(Math.random() * Math.min(length - 1, MOST)), position)
      : whole(fd, bytes, offset, length, position)
  syncBuiltinESMExports()
`

async function writesShort(run: Run, dice: Random): Promise<Row[]> {
  const tally = new Tally('short writes', 'both')
  for (const most of [40, 5_000]) {
    const module = `data:text/javascript,${encodeURIComponent(shortWrites.replace('MOST', String(most)))}`
    const command = [process.execPath, '--import', 'tsx', '--import', module, 'src/main.ts']
    const receiver = await startReceiver({ DATA_DIR: join(run.scratch, `short-${most}`) }, command)
    const ledger = new Ledger(`short${most}`, [])
    try {
      const rounds = Math.max(10, Math.ceil(200 * run.share))
      for (let round = 0; round < rounds; round++) {
        const filler = 'x'.repeat(dice.below(30_000))
        const slug = `heron-${round % 5}`
        const fresh = [0, 1, 2].map(() => ledger.newScenario(slug, filler))
        const files = [0, 1].map((number) => ledger.newVitalSigns(slug, participantOf(number), filler))
        await Promise.all([...fresh, ...files].map((sent) => ledger.post(receiver.url, sent)))
        tally.cases++
      }
      if (ledger.sent.some(({ attempts }) => !isStored(attempts[0]?.answer))) tally.wrongly('not stored')
      tally.add(judge(readDisk(receiver.dataDir), ledger))
    } finally {
      ledger.close()
      await receiver.stop('SIGKILL')
    }
  }
  return [tally.row()]
}

export const part: Part = {
  name: 'errors',
  async missing() {
    return missingHere(['strace'])
  },
  async run(run) {
    const total = Math.max(30, Math.ceil(2_000 * run.share))
    let done = 0
    const onCase = (): void => run.progress(Math.min(++done, total), total)
    return [
      ...(await failEverywhere(run, onCase)),
      await verifiesAfterEio(run),
      ...(await writesShort(run, random(run.seed + 1))),
    ]
  },
}
