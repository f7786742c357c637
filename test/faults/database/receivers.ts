/** Receivers are killed under load, and one is stopped in the middle of its work and continues long afterwards. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Receiver } from '../../receiver.ts'
import { participantOf, receiptsOf } from '../load.ts'
import { readDatabase } from './read.ts'
import type { DatabaseScene } from './scene.ts'
import { Site } from './site.ts'

const enough = 100

const killReceivers: DatabaseScene = {
  fault: 'kill -9 of receivers, 3 in a row',
  full: 10,
  async play(play) {
    const site = await Site.open(play)
    try {
      const load = site.load()
      for (let killed = 0; killed < 3; killed++) {
        await site.storesAgain(enough, 'before the kill')
        await sleep(site.dice.below(300))
        const from = performance.now()
        const victim = site.dice.of(site.receivers)
        await site.killReceiver(victim)
        await site.storesAgain(enough, 'by the other receiver')
        site.silenceSince(from)
        // The new receiver has a new port, and sometimes a new data directory, as on a new machine.
        await site.startReceiver(site.dice.oneIn(3) ? undefined : victim.dataDir)
      }
      await load.stop()
      await site.judge()
    } finally {
      await site.close()
    }
  },
}

/** This is longer than any request lasts. */
const longMs = 11_000
const longestMs = 30_000

const wake: DatabaseScene = {
  fault: 'a receiver is stopped (SIGSTOP) and wakes',
  full: 6,
  async play(play) {
    // 408 is permitted, because only a part of a body may have come when the receiver was stopped.
    const site = await Site.open({ ...play, permitted: [408] })
    const [stopped, other] = site.receivers as [Receiver, Receiver]
    try {
      const load = site.load()
      await site.storesAgain(enough, 'before the stop')
      const early = postOverwrites(site, stopped, 'early')
      await sleep(site.dice.below(20))
      site.stopReceiver(stopped)
      await sleep(longMs + (site.dice.oneIn(2) ? 0 : site.dice.below(longestMs - longMs)))
      await postOverwrites(site, other, 'newest')
      stopped.process.kill('SIGCONT')
      await early
      await load.stop()
      await site.judge()
      await requireNewest(site)
    } finally {
      stopped.process.kill('SIGCONT')
      await site.close()
    }
  },
}

/** Processes of the server are stopped until the receivers give up their statements. When the processes continue, the statements are still there. */
const wakeBackends: DatabaseScene = {
  fault: 'processes of the server are stopped and wake',
  full: 6,
  async play(play) {
    const site = await Site.open(play)
    const backends = async (): Promise<number[]> => {
      const rows = await site.primary.sql(`SELECT pid FROM pg_stat_activity WHERE usename = 'civic_receiver'`)
      return rows.map(({ pid }) => Number(pid))
    }
    const signal = (pids: readonly number[], name: NodeJS.Signals): void => {
      for (const pid of pids) process.kill(pid, name)
    }
    const giving = site.receivers[0] as Receiver
    await postOverwrites(site, giving, 'first')
    const stopped = await backends()
    signal(stopped, 'SIGSTOP')
    try {
      await postOverwrites(site, giving, 'early')
      const fresh = await site.startReceiver()
      await postOverwrites(site, fresh, 'newest')
      signal(stopped, 'SIGCONT')
      await site.judge()
      await requireNewest(site)
    } finally {
      await site.close()
    }
  },
}

const people = Array.from({ length: 16 }, (_, n) => participantOf(1_000 + n))

/** Posts to addresses to which nobody else in the scene writes. */
async function postOverwrites({ ledger }: Site, { url }: Receiver, filler: string): Promise<void> {
  const sent = people.map((who) => ledger.newVitalSigns('wren', who, filler))
  await Promise.all(sent.map((one) => ledger.post(url, one)))
}

/** The newest overwrites must be stored. The earlier ones were answered or given up before, so none may take effect later. */
async function requireNewest({ ledger, primary, tally }: Site): Promise<void> {
  const { overwritten } = await readDatabase(primary)
  for (const who of people) {
    const newest = ledger.sent.filter(({ participant }) => participant === who).at(-1)
    if (!newest || receiptsOf(newest).length === 0) tally.note('the newest one was refused')
    else if ((overwritten.get(`wren/${who}`)?.fields as { mark?: string })?.mark !== newest.mark) {
      tally.lost++
      tally.note('an older one took the place of the newest one')
    }
  }
}

export const receivers: readonly DatabaseScene[] = [killReceivers, wake, wakeBackends]
