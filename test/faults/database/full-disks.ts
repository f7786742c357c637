/** Full disks of the engine. When the disk of the tables is full, the engine reports it and goes on. When the disk of the log is full, it ends itself. */
import { execFileSync } from 'node:child_process'
import { chownSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Server } from '../../postgres/cluster.ts'
import { preparedServer } from '../../postgres/prepared.ts'
import { fillTo, isDiskFull } from '../full-disk.ts'
import { isStored, participantOf, type Sent, told } from '../load.ts'
import { type Mount, mountNew } from '../mounts.ts'
import { inParallel } from '../part.ts'
import type { DatabaseScene, Play } from './scene.ts'
import { Site } from './site.ts'

const mib = 1024 * 1024
const enough = 100
const mostPosts = 2_000

/** A small file system that belongs to the server's user, below its directory. */
function smallDisk(server: Server, bytes: number): Mount {
  const { uid, gid } = statSync(server.data)
  const mount = mountNew('tmpfs', join(server.directory, 'small'), { bytes })
  chownSync(mount.path, uid, gid)
  return mount
}

const ballastOf = ({ path }: Mount): string => join(path, 'ballast')

async function fillTables(play: Play): Promise<void> {
  const primary = await preparedServer()
  const disk = smallDisk(primary, 48 * mib)
  const site = await Site.open({ ...play, primary, alone: true, permitted: [507] })
  const { ledger, url, dice, tally } = site
  // The filler is random, because a text that compresses well would need no room.
  const next = (): Sent => {
    const filler = dice.bytes(1_000 + dice.below(2_000)).toString('hex')
    return dice.oneIn(4)
      ? ledger.newVitalSigns('heron-ridge', participantOf(dice.below(100)), filler)
      : ledger.newScenario('heron-ridge', filler)
  }
  try {
    await moveTables(primary, join(disk.path, 'tables'))
    await site.storesAt(url)
    fillTo(disk.path, ballastOf(disk), mib)
    let refused = 0
    await inParallel(Array.from({ length: mostPosts }), 16, async () => {
      if (refused >= 32) return
      const answer = await ledger.post(url, next())
      if (isStored(answer)) return
      refused++
      if (!isDiskFull(answer)) tally.wrongly(`with a full disk of the tables: ${told(answer)}`)
    })
    if (refused === 0) tally.note('there was room for all')
    rmSync(ballastOf(disk))
    await site.judge()
  } finally {
    await primary.kill()
    disk.remove()
    await site.close()
  }
}

/** Moves the tables, as an operator does whose disk has become too small. Nobody may be connected in the meantime. */
async function moveTables(primary: Server, to: string): Promise<void> {
  const { uid, gid } = statSync(primary.data)
  mkdirSync(to)
  chownSync(to, uid, gid)
  await primary.sql(`CREATE TABLESPACE small LOCATION '${to}'`, [], 'postgres')
  await primary.asOwner(async (owner) => {
    await owner.query('ALTER DATABASE civic ALLOW_CONNECTIONS false')
    await owner.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'civic'`)
    await owner.query('ALTER DATABASE civic SET TABLESPACE small')
    await owner.query('ALTER DATABASE civic ALLOW_CONNECTIONS true')
  }, 'postgres')
}

async function fillLog(play: Play): Promise<void> {
  const primary = await preparedServer()
  const disk = smallDisk(primary, 96 * mib)
  await primary.stop()
  const [log, place] = [join(primary.data, 'pg_wal'), join(disk.path, 'pg_wal')]
  // cp keeps the owners of files.
  execFileSync('cp', ['-a', log, place])
  rmSync(log, { recursive: true })
  symlinkSync(place, log)
  await primary.start()
  // 507 is permitted: before the engine ends itself, a statement may find no room for its log and be undone.
  const site = await Site.open({ ...play, primary, alone: true, permitted: [507] })
  try {
    const load = site.load()
    await site.storesAgain(enough, 'before the disk of the log is full')
    fillTo(disk.path, ballastOf(disk), 0)
    await site.eventually('the server stores with a full disk of its log', async () => {
      await primary.sql('SELECT pg_switch_wal()').catch(() => {})
      return !primary.isRunning
    })
    rmSync(ballastOf(disk))
    await primary.start()
    await site.storesAgain(enough, 'when there is room again')
    await load.stop()
    await site.judge()
  } finally {
    await primary.kill()
    disk.remove()
    await site.close()
  }
}

export const fullDisks: readonly DatabaseScene[] = [
  { fault: 'full disk of the tables: 507', full: 5, needs: ['mount'], play: fillTables },
  { fault: 'full disk of pg_wal: the engine ends, 503', full: 5, needs: ['mount'], play: fillLog },
]
