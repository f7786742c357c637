/**
 * The part `full-disk`: small file systems of several kinds are filled to the byte or the inode. Posts go on until one is refused, and then the
 * file system gets room again. A refusal is the 507 of SPEC 2 and changes nothing. When there is room, the same process stores again. The same is
 * tested for MIN_FREE_BYTES and for a limit on the size of files.
 */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingHere } from '../needs.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { judge, marksOn, readDisk, Tally } from './audit-disk.ts'
import { isStored, Ledger, type PostAnswer, participantOf, type Sent, told } from './load.ts'
import { canMake, type FileSystem, type Mount, mountNew } from './mounts.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import { sample, tear } from './scenes.ts'

/** The free room beside the large ballast, which the fine ballast then fills. btrfs keeps some room for itself. */
const headroom = { tmpfs: 20, ext4: 20, xfs: 20, btrfs: 40 } as const
const casesPerStart = 15
const mib = 1024 * 1024
const zeros = Buffer.alloc(mib)
/** How long the receiver uses the answer of statfs, with a margin. */
const statfsMs = 300
const mostPosts = 12

const kinds = ['append', 'append to a torn file', 'new association', 'overwrite', 'new Placekey'] as const
type ScarcityKind = (typeof kinds)[number]
const isAppend = (kind: ScarcityKind): boolean => !/overwrite|Placekey/.test(kind)

type Case = { readonly kind: ScarcityKind; readonly size: number; readonly level: number }

const sizes = [100, 3_900, 20_000, 200_000]
const byteLevels = [0, 500, 4_096, 8_192, 12_288, 20_480, 65_536, 300_000]
const inodeLevels = [0, 1, 2, 3, 4, 5, 6, 8]

function casesWith(levels: readonly number[]): Case[] {
  return kinds.flatMap((kind) => sizes.flatMap((size) => levels.map((level) => ({ kind, size, level }))))
}

/** Makes room scarce, and frees it again. */
type Scarcity = { fill(level: number): void; free(): void }

function scarceBytes(path: string, kind: FileSystem): Scarcity {
  const ballast = join(path, 'ballast')
  fillTo(path, join(path, 'ballast-that-stays'), headroom[kind] * mib)
  if (kind !== 'tmpfs') awaitRoom(path)
  return {
    fill: (level) => fillTo(path, ballast, level),
    free() {
      rmSync(ballast, { force: true })
      if (kind !== 'tmpfs') awaitRoom(path)
    },
  }
}

/** Waits for room. On some file systems removed files become free room only later. When another process can write, the receiver must, too. */
function awaitRoom(path: string): void {
  for (let tries = 0; tries < 50; tries++) {
    sync(path)
    if (!canWrite(join(path, 'probe'))) continue
    sync(path)
    return
  }
  throw new Error('the disk stays full when its ballast is gone')
}

function sync(path: string): void {
  spawnSync('sync', ['-f', path])
}

function canWrite(probe: string): boolean {
  try {
    writeFileSync(probe, zeros, { flush: true })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    return false
  } finally {
    rmSync(probe, { force: true })
  }
}

function openOrFull(path: string): number | undefined {
  try {
    return openSync(path, 'w')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    return undefined
  }
}

/** Writes until only so much is free, as far as the file system can be filled. */
export function fillTo(path: string, ballast: string, level: number): void {
  const file = openOrFull(ballast)
  if (file === undefined) return
  try {
    for (let chunk = mib; chunk >= 512; ) {
      const { bavail, bsize } = statfsSync(path)
      const room = bavail * bsize - level
      if (room <= 0) return
      try {
        writeSync(file, zeros, 0, Math.min(room, chunk))
        // statfs of btrfs counts only data that has its place on the disk.
        fdatasyncSync(file)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        chunk /= 2
      }
    }
  } finally {
    closeSync(file)
  }
}

function scarceInodes(path: string): Scarcity {
  const directory = join(path, 'ballast')
  return {
    fill(level) {
      mkdirSync(directory)
      for (let number = 0; statfsSync(path).ffree > level; number++)
        writeFileSync(join(directory, `${number}`), '')
    },
    free: () => rmSync(directory, { recursive: true, force: true }),
  }
}

/** Whether an answer is the refusal for a full disk, in the form of SPEC 6. */
export function isDiskFull(answer: PostAnswer | undefined): boolean {
  const body = answer?.body
  return (
    answer?.status === 507 &&
    body?.status === 507 &&
    body.type === 'urn:civic-orchestrator:problem:disk-full' &&
    body.detail.length > 0
  )
}

type SmallDisk = { readonly receiver: Receiver; readonly scarcity: Scarcity; readonly name: string }

async function tryFull(
  { kind, size, level }: Case,
  place: SmallDisk,
  tally: Tally,
  number: number,
): Promise<void> {
  const { receiver, scarcity } = place
  const ledger = new Ledger(`${number}`, [507])
  const slug = `heron-${number}`
  const about = `${place.name}, ${kind}, ${size} bytes, ${level} free`
  const wrongly = (what: string): void => tally.wrongly(`${about}: ${what}`)
  const next = (): Sent => {
    const filler = 'x'.repeat(size)
    return isAppend(kind)
      ? ledger.newScenario(slug, filler)
      : ledger.newVitalSigns(slug, participantOf(0), filler)
  }
  try {
    const isKnown = !kind.startsWith('new')
    const before = isKnown ? await ledger.post(receiver.url, next()) : undefined
    if (isKnown && !isStored(before)) {
      wrongly(`before the disk is full: ${told(before)}`)
      return
    }
    if (kind === 'append to a torn file') tear(join(receiver.dataDir, 'scn01', slug, 'records.json'))
    scarcity.fill(level)
    let refused: Sent | undefined
    for (let post = 0; post < mostPosts && !refused; post++) {
      const sent = next()
      const answer = await ledger.post(receiver.url, sent)
      if (isStored(answer)) continue
      refused = sent
      if (!isDiskFull(answer)) wrongly(told(answer))
    }
    const disk = readDisk(receiver.dataDir, [slug])
    if (refused && marksOn(disk).has(refused.mark)) wrongly('refused, but it is stored')
    if (disk.unreadable.length > 0 && kind !== 'append to a torn file') wrongly('the file is not whole')
    scarcity.free()
    await sleep(statfsMs)
    if (isAppend(kind)) await ledger.sendUnacknowledged(receiver.url)
    const last = await ledger.post(receiver.url, next())
    if (!isStored(last)) wrongly(`when there is room again: ${told(last)}`)
    tally.add(judge(readDisk(receiver.dataDir, [slug]), ledger), about)
    tally.cases++
    if (!refused) tally.note(`there was room for all, ${place.name}`)
  } finally {
    scarcity.free()
    ledger.close()
  }
}

/** Runs all cases on one small disk. The receiver is restarted now and then, because it keeps removed files open. */
async function fillDisk(
  mount: Mount,
  name: string,
  scarcity: Scarcity,
  cases: readonly Case[],
  run: Run,
  onCase: () => void,
): Promise<Row> {
  const tally = new Tally(`full ${name}`, 'both')
  const root = join(mount.path, 'data')
  for (let first = 0; first < cases.length && performance.now() < run.until; first += casesPerStart) {
    rmSync(root, { recursive: true, force: true })
    const receiver = await startReceiver({ DATA_DIR: root })
    try {
      for (const [index, one] of cases.slice(first, first + casesPerStart).entries()) {
        await tryFull(one, { receiver, scarcity, name }, tally, first + index)
        if (receiver.process.exitCode !== null) throw new Error(`the receiver ended: ${receiver.output()}`)
        onCase()
      }
    } finally {
      await receiver.stop('SIGKILL')
    }
  }
  return tally.row()
}

type Disk = {
  readonly kind: FileSystem
  readonly of: 'bytes' | 'inodes'
  readonly bytes: number
  readonly words?: readonly string[]
}

const disks: readonly Disk[] = [
  { kind: 'tmpfs', of: 'bytes', bytes: 32 * mib },
  { kind: 'ext4', of: 'bytes', bytes: 48 * mib },
  { kind: 'xfs', of: 'bytes', bytes: 300 * mib },
  { kind: 'btrfs', of: 'bytes', bytes: 192 * mib },
  { kind: 'tmpfs', of: 'inodes', bytes: 32 * mib, words: ['nr_inodes=300'] },
  { kind: 'ext4', of: 'inodes', bytes: 48 * mib, words: ['-N', '400'] },
]

async function tryDisk(disk: Disk, run: Run, onCase: () => void): Promise<Row> {
  const { kind, of, bytes, words = [] } = disk
  const name = `${kind}, ${of}`
  if (!canMake(kind)) {
    const skipped = new Tally(`full ${name}`, 'both')
    skipped.note(`skipped: mkfs.${kind}`)
    return skipped.row()
  }
  const dice = random(run.seed + disks.indexOf(disk))
  const all = of === 'bytes' ? [...casesWith(byteLevels), ...jittered(dice)] : casesWith(inodeLevels)
  const cases = sample(all, Math.max(6, Math.ceil(all.length * run.share)), dice)
  const mount = mountNew(kind, join(run.scratch, `${kind}-${of}`), { bytes, words })
  try {
    const scarcity = of === 'bytes' ? scarceBytes(mount.path, kind) : scarceInodes(mount.path)
    return await fillDisk(mount, name, scarcity, cases, run, onCase)
  } finally {
    mount.remove()
  }
}

/** The same cases with levels and sizes that are not round. */
function jittered(dice: Random): Case[] {
  return casesWith(byteLevels).map(({ kind, size, level }) => ({
    kind,
    size: size + dice.below(size),
    level: level + dice.below(8_000),
  }))
}

/** Below MIN_FREE_BYTES the receiver tries no write at all. */
async function belowMinimum(run: Run): Promise<Row> {
  const tally = new Tally('free space below MIN_FREE_BYTES', 'both')
  const least = 2 * mib
  const mount = mountNew('tmpfs', join(run.scratch, 'minimum'), { bytes: 32 * mib })
  const root = join(mount.path, 'data')
  const receiver = await startReceiver({ DATA_DIR: root, MIN_FREE_BYTES: String(least) })
  const scarcity = scarceBytes(mount.path, 'tmpfs')
  const ledger = new Ledger('minimum', [507])
  const isReady = async (): Promise<boolean> => (await fetch(`${receiver.url}/ready`)).ok
  try {
    for (const below of [4_096, 8_192, 100_000, mib, least]) {
      for (const sent of [
        ledger.newScenario(`heron-${below}`),
        ledger.newVitalSigns('heron', participantOf(below)),
      ]) {
        scarcity.fill(least - below)
        await sleep(statfsMs)
        const refused = await ledger.post(receiver.url, sent)
        if (!isDiskFull(refused)) tally.wrongly(`${below} bytes below: ${told(refused)}`)
        if (marksOn(readDisk(root)).has(sent.mark)) tally.wrongly(`${below} bytes below: refused, but stored`)
        if (await isReady()) tally.wrongly(`${below} bytes below: /ready says that it can store`)
        scarcity.free()
        await sleep(statfsMs)
        const stored = await ledger.post(receiver.url, sent)
        if (!isStored(stored)) tally.wrongly(`when there is room again: ${told(stored)}`)
        if (!(await isReady())) tally.wrongly('/ready says that it cannot store when there is room again')
        tally.cases++
      }
    }
    tally.add(judge(readDisk(root), ledger))
  } finally {
    ledger.close()
    await receiver.stop('SIGKILL')
    mount.remove()
  }
  return tally.row()
}

/** Tests a limit on the size of files (EFBIG), as LimitFSIZE= of a unit sets it. */
async function fileSizeLimit(run: Run, onCase: () => void): Promise<Row> {
  const receiver = await startReceiver({ DATA_DIR: join(run.scratch, 'limit') })
  const limit = (bytes: number | 'unlimited'): void => {
    const { status, stderr } = spawnSync('prlimit', [
      `--pid=${receiver.process.pid}`,
      `--fsize=${bytes}:unlimited`,
    ])
    if (status !== 0) throw new Error(`prlimit: ${stderr}`)
  }
  const scarcity: Scarcity = { fill: (level) => limit(level), free: () => limit('unlimited') }
  const tally = new Tally('file size limit', 'both')
  const all = casesWith([300, 1_000, 4_096, 10_000, 30_000, 250_000])
  const cases = sample(all, Math.max(10, Math.ceil(all.length * run.share)), random(run.seed))
  try {
    for (const [number, one] of cases.entries()) {
      if (performance.now() > run.until) break
      await tryFull(one, { receiver, scarcity, name: 'file size limit' }, tally, number)
      onCase()
    }
  } finally {
    await receiver.stop('SIGKILL')
  }
  return tally.row()
}

export const part: Part = {
  name: 'full-disk',
  async missing() {
    return missingHere(['mount', 'losetup', 'prlimit'])
  },
  async run(run) {
    let done = 0
    const total = Math.ceil(1_720 * run.share)
    const onCase = (): void => run.progress(Math.min(++done, total), total)
    const rows: Row[] = new Array(disks.length)
    const onDisks = inParallel(disks, 3, async (disk, index) => {
      rows[index] = await tryDisk(disk, run, onCase)
    })
    const others = await Promise.all([belowMinimum(run), fileSizeLimit(run, onCase)])
    await onDisks
    return [...rows, ...others]
  },
}
