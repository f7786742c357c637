/**
 * An association whose file is long enough for an index: it is ended in the midst of appends by a power cut or SIGKILL, or changed
 * while no receiver runs, and started again. What the index spares from being read must not hide what was lost or changed.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build, numbered, slug } from '../audit-build.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { readDisk, Tally, type Verdict } from './audit-disk.ts'
import { inParallel } from './load.ts'
import { mountNew } from './mounts.ts'
import type { Part, Run } from './part.ts'
import { readyToCut } from './power-cut.ts'
import { type Random, random } from './random.ts'
import { ageLocks } from './scenes.ts'
import { missingHere } from './strace.ts'

const faults = [
  'power cut',
  'kill',
  'kill, then a bit of the index',
  'kill, then a bit of the records',
] as const
type FaultName = (typeof faults)[number]

const fullCount = 60
const lanes = 4
const built = 4_200
const longestMs = 10_000

type Receipt = { readonly sequence: number; readonly record_sha256: string }
type Sent = { readonly number: number; readonly status: number; readonly receipt: Receipt | undefined }

async function post(receiver: Receiver, number: number): Promise<Sent> {
  try {
    const answer = await receiver.post(numbered(number))
    const receipt = answer.ok ? ((await answer.json()) as Receipt) : undefined
    return { number, status: answer.status, receipt }
  } catch {
    return { number, status: 0, receipt: undefined }
  }
}

/** Below the number of requests that a receiver takes at once. */
const atOnce = 100

async function postAll(receiver: Receiver, numbers: readonly number[]): Promise<Sent[]> {
  const sent: Sent[] = []
  for (let at = 0; at < numbers.length; at += atOnce) {
    const some = numbers.slice(at, at + atOnce)
    sent.push(...(await Promise.all(some.map((number) => post(receiver, number)))))
  }
  return sent
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at)

function flipBit(path: string, dice: Random): void {
  const bytes = readFileSync(path)
  const at = dice.below(bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << dice.below(8))
  writeFileSync(path, bytes)
}

/** Builds, appends until there is an index, appends more, and ends it all in the midst of that. Gives what was answered. */
async function endInTheMidst(fault: FaultName, path: string, root: string, dice: Random): Promise<Sent[]> {
  mkdirSync(root)
  const { records } = build(root, built)
  const receiver = await startReceiver({ DATA_DIR: root })
  try {
    const sent = await postAll(receiver, range(built + 1, dice.of([1, 20])))
    const index = join(dirname(records), '.records.index')
    for (const until = performance.now() + longestMs; !existsSync(index) && performance.now() < until; )
      await sleep(10)
    if (dice.oneIn(2)) sent.push(...(await postAll(receiver, range(built + 100, dice.below(400)))))
    const power = fault === 'power cut' ? await readyToCut(path) : undefined
    const last = postAll(receiver, range(built + 1_000, dice.of([0, 1, 200])))
    await sleep(dice.below(60))
    const cutAt = (await power?.cut())?.[0]
    const answered = await Promise.race([last, receiver.stop('SIGKILL').then(() => last)])
    // what was answered while the power was being cut may be on either side of it
    return [...sent, ...(cutAt === undefined ? answered : answered.map(unanswered))]
  } finally {
    await receiver.stop('SIGKILL')
  }
}

const unanswered = ({ number }: Sent): Sent => ({ number, status: 0, receipt: undefined })

/** Everything is sent again, once: what was acknowledged is there as it was, and nothing is there twice. */
async function judgeAgain(root: string, sent: readonly Sent[]): Promise<Verdict> {
  const receiver = await startReceiver({ DATA_DIR: root })
  const notes: string[] = []
  let [lost, wrong] = [0, 0]
  try {
    const again = [
      ...(await postAll(receiver, range(1, 20))),
      ...(await postAll(receiver, range(built - 20, 21))),
    ]
    const retried = await postAll(
      receiver,
      sent.map(({ number }) => number),
    )
    wrong += again.filter(({ status }) => status !== 200).length
    for (const [at, { receipt: before }] of sent.entries()) {
      const now = retried[at]?.receipt
      if (!now) wrong++
      else if (before && (now.sequence !== before.sequence || now.record_sha256 !== before.record_sha256))
        lost++
    }
    if (wrong + lost > 0)
      notes.push(`${wrong} were not answered as they should be, ${lost} are not as acknowledged`)
  } finally {
    await receiver.stop()
  }
  const { appended, unreadable } = readDisk(root)
  const ids = (appended.get(slug) ?? []).map(({ record }) => (record.receipt as { id: string }).id)
  const duplicated = ids.length - new Set(ids).size
  if (unreadable.length === 0 && ids.length !== built + sent.length) wrong++
  return { lost, duplicated, unreadable: unreadable.length, wrong, notes: [...notes, ...unreadable] }
}

/** A file with another bit anywhere is refused, and left as it is. */
async function judgeRefusal(root: string, records: string): Promise<Verdict> {
  const before = readFileSync(records)
  const receiver = await startReceiver({ DATA_DIR: root })
  const { status } = await post(receiver, built + 50_000)
  await receiver.stop()
  const isRefused = status === 503 && readFileSync(records).equals(before)
  const notes = isRefused ? [] : [`a changed file was answered with ${status}`]
  return { lost: 0, duplicated: 0, unreadable: 0, wrong: isRefused ? 0 : 1, notes }
}

async function oneCase(fault: FaultName, path: string, dice: Random): Promise<Verdict> {
  const mount = mountNew('ext4', path, { bytes: 64 * 1024 * 1024 })
  const root = join(path, 'data')
  try {
    const sent = await endInTheMidst(fault, path, root, dice)
    if (fault === 'power cut') {
      mount.unmount()
      mount.mountAgain()
    }
    ageLocks(root)
    const records = join(root, 'scn01', slug, 'records.json')
    const index = join(dirname(records), '.records.index')
    if (fault === 'kill, then a bit of the index' && existsSync(index)) flipBit(index, dice)
    if (fault !== 'kill, then a bit of the records') return await judgeAgain(root, sent)
    // a kill may leave a torn end, in which a bit is one of what is cut off anyway
    if (!readFileSync(records).subarray(-3).equals(Buffer.from('\n]\n'))) return await judgeAgain(root, sent)
    flipBit(records, dice)
    return await judgeRefusal(root, records)
  } finally {
    mount.remove()
  }
}

export const part: Part = {
  name: 'index',
  missing: async () => missingHere(['mkfs.ext4', 'losetup', 'perl']),
  async run(run: Run) {
    const each = Math.max(Math.ceil(fullCount * run.share), 1)
    const tallies = new Map(faults.map((fault) => [fault, new Tally(`index, ${fault}`, 'append-only')]))
    const plan = range(0, each * faults.length)
    let done = 0
    await inParallel(plan, lanes, async (number) => {
      if (performance.now() > run.until) return
      const fault = faults[number % faults.length] as FaultName
      const dice = random(run.seed * 1_000 + number)
      const tally = tallies.get(fault) as Tally
      tally.add(await oneCase(fault, join(run.scratch, `disk-${number}`), dice))
      tally.cases++
      run.progress(++done, plan.length)
    })
    return [...tallies.values()].map((tally) => tally.row())
  },
}
