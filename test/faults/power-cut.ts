/**
 * The part `power-cut`: an ext4 on a loop mount is shut down under load, so that everything that was not synced is gone, and is mounted again.
 * Every record that was acknowledged before the cut must be there. This proves that a 2xx means on disk, for good.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingHere } from '../needs.ts'
import { type Receiver, startReceiver } from '../receiver.ts'
import { isClean, judge, readDisk, Tally } from './audit-disk.ts'
import { Ledger, startLoad } from './load.ts'
import { type Mount, mountNew } from './mounts.ts'
import { inParallel, type Part, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import { removeLocks } from './scenes.ts'

const fullCount = 100
const lanes = 6
const cutsPerImage = 5

/** Calls EXT4_IOC_SHUTDOWN without flushing the journal. It waits for a line first, so that the time of the cut is known. */
const cutter = `
  opendir(my $dir, $ARGV[0]) or die; open(my $fh, '<', $ARGV[0]) or die "open: $!";
  $| = 1; print "ready\\n"; <STDIN>;
  my $how = pack('L', 2); ioctl($fh, 0x8004587D, $how) or die "ioctl: $!"; print "cut\\n";
`

/** `cut` cuts the power, and gives the times right before and after it. */
type Cutter = { cut(): Promise<readonly [number, number]> }

export async function readyToCut(path: string): Promise<Cutter> {
  const child = spawn('perl', ['-e', cutter, path], { stdio: ['pipe', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk
  })
  await once(child.stdout, 'data')
  return {
    async cut() {
      const before = performance.now()
      child.stdin.end('now\n')
      const [code] = (await once(child, 'exit')) as [number]
      if (code !== 0) throw new Error(`the power cut failed: ${complaint}`)
      return [before, performance.now()]
    },
  }
}

type Lane = { readonly name: string; readonly path: string; readonly dice: Random; readonly cuts: number }

async function cutOften({ name, path, dice, cuts }: Lane, tally: Tally, onCut: () => boolean): Promise<void> {
  let mount: Mount | undefined
  let alive: Receiver | undefined
  const ledger = new Ledger(name)
  const root = join(path, 'data')
  const start = async (): Promise<Receiver> => {
    alive = await startReceiver({ DATA_DIR: root })
    return alive
  }
  try {
    mount = mountNew('ext4', path, { bytes: 64 * 1024 * 1024 })
    let receiver = await start()
    for (let cut = 0; cut < cuts; cut++) {
      const power = await readyToCut(path)
      const load = startLoad({
        ledger,
        random: dice,
        senders: dice.of([1, 4, 16, 64]),
        // Some of them are new, so that directories are being made at the time of the cut.
        slugs: Array.from(
          { length: dice.of([1, 4, 40]) },
          (_, number) => `heron-${dice.below(cut + 1)}-${number}`,
        ),
        urls: [receiver.url],
        overwriteOneIn: dice.of([1, 1, 3, 10]),
        longestFiller: dice.of([100, 4_000]),
      })
      await sleep(dice.below(300))
      // An fsync also makes earlier changes durable. When nobody is sending, no later fsync helps the last answers.
      const isQuiet = dice.oneIn(2)
      if (isQuiet) await load.stop()
      const [from, to] = await power.cut()
      // Records that are acknowledged from now on must be there as well.
      if (!isQuiet) await sleep(dice.below(40))
      const killed = receiver.stop('SIGKILL')
      await load.stop()
      await killed
      ledger.forgetAnswersBetween(from, to)
      ledger.takeComplaints()
      mount.unmount()
      mount.mountAgain()
      if (!dice.oneIn(4)) removeLocks(root)
      receiver = await start()
      await ledger.firstPosts(receiver.url)
      await ledger.sendUnacknowledged(receiver.url)
      const verdict = judge(readDisk(root), ledger)
      tally.add(verdict)
      tally.cases++
      if (!onCut() || !isClean(verdict)) break
    }
  } finally {
    ledger.close()
    await alive?.stop('SIGKILL')
    mount?.remove()
  }
}

export const part: Part = {
  name: 'power-cut',
  async missing() {
    const missing = missingHere(['mkfs.ext4', 'losetup', 'perl'])
    if (missing) return missing
    return spawnSync('losetup', ['-f']).status === 0 ? undefined : 'a free loop device'
  },
  async run(run: Run) {
    const total = Math.max(Math.ceil(fullCount * run.share), lanes)
    const each = Math.min(cutsPerImage, Math.ceil(total / lanes))
    const plan = Array.from({ length: Math.ceil(total / each) }, (_, index) => index)
    const tally = new Tally('power cut under load', 'both')
    let done = 0
    const onCut = (): boolean => {
      run.progress(Math.min(++done, total), total)
      return performance.now() < run.until
    }
    await inParallel(plan, lanes, async (index) => {
      if (performance.now() > run.until) return
      const dice = random(run.seed * 1_000 + index)
      const cuts = Math.min(each, total - index * each)
      await cutOften({ name: `${index}`, path: join(run.scratch, `disk-${index}`), dice, cuts }, tally, onCut)
    })
    return [tally.row()]
  },
}
