/** Scenes that make a receiver run each of its sequences of system calls, for faults at every n-th call. */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Receiver } from '../receiver.ts'
import { isStored, Ledger, participantOf, told } from './load.ts'
import type { Row } from './part.ts'
import type { Random } from './random.ts'
import { attach, countCalls, startOneThreaded } from './strace.ts'

export type Stage = {
  readonly receiver: Receiver
  readonly ledger: Ledger
  /** The association with records, in a scene that has one. */
  readonly known: string
  /** An association to which nobody has written. */
  readonly fresh: string
}

export type Scene = {
  readonly name: string
  readonly rule: Extract<Row['rule'], 'append-only' | 'overwrite-by-placekey'>
  /** Makes the state before the scene. The faults begin after it. */
  before(stage: Stage): Promise<void>
  act(stage: Stage): Promise<void>
}

/** This is longer than a lock is kept without work. */
export const quietMs = 150

export function stageOf(receiver: Receiver, ledger: Ledger, name = ''): Stage {
  return { receiver, ledger, known: `heron${name}`, fresh: `wren${name}` }
}

export function recordsOf({ receiver }: Stage, slug: string): string {
  return join(receiver.dataDir, 'scn01', slug, 'records.json')
}

async function scenarios({ receiver, ledger }: Stage, slug: string, count: number): Promise<void> {
  const sent = Array.from({ length: count }, () => ledger.newScenario(slug, 'x'.repeat(200)))
  await Promise.all(sent.map((one) => ledger.post(receiver.url, one)))
}

/** Thrown when there is trouble before the fault, because an earlier fault has not ended. */
export class NotReady extends Error {}

function requireStored({ ledger }: Stage): void {
  const refused = ledger.sent.flatMap(({ attempts }) => attempts).find(({ answer }) => !isStored(answer))
  if (refused) throw new NotReady(`before the fault: ${told(refused.answer)}`)
}

async function vitalSigns({ receiver, ledger }: Stage, slug: string): Promise<void> {
  await ledger.post(receiver.url, ledger.newVitalSigns(slug, participantOf(0), 'x'.repeat(200)))
}

async function recordsBefore(stage: Stage): Promise<void> {
  await scenarios(stage, stage.known, 3)
  requireStored(stage)
  await released(recordsOf(stage, stage.known))
}

async function fileBefore(stage: Stage): Promise<void> {
  await vitalSigns(stage, stage.known)
  requireStored(stage)
}

/** Waits until the lock is released. It is kept for a moment without work, and longer on a busy machine. */
async function released(records: string): Promise<void> {
  const until = performance.now() + 9_000
  do await sleep(quietMs / 2)
  while (existsSync(lockOf(records)) && performance.now() < until)
}

export const scenes: readonly Scene[] = [
  {
    name: 'append',
    rule: 'append-only',
    before: recordsBefore,
    act: (stage) => scenarios(stage, stage.known, 3),
  },
  {
    name: 'first record of an association',
    rule: 'append-only',
    before: recordsBefore,
    act: (stage) => scenarios(stage, stage.fresh, 1),
  },
  {
    name: 'append after a torn write',
    rule: 'append-only',
    async before(stage) {
      await recordsBefore(stage)
      tear(recordsOf(stage, stage.known))
    },
    act: (stage) => scenarios(stage, stage.known, 1),
  },
  {
    name: 'append under a lock that a kill left',
    rule: 'append-only',
    async before(stage) {
      await recordsBefore(stage)
      mkdirSync(lockOf(recordsOf(stage, stage.known)))
    },
    act: (stage) => scenarios(stage, stage.known, 1),
  },
  {
    name: 'overwrite',
    rule: 'overwrite-by-placekey',
    before: fileBefore,
    act: (stage) => vitalSigns(stage, stage.known),
  },
  {
    name: 'first record of a Placekey',
    rule: 'overwrite-by-placekey',
    before: fileBefore,
    act: (stage) => vitalSigns(stage, stage.fresh),
  },
]

/** The first record in a data directory, which also makes the directory of the addon. It needs a data directory of its own. */
export const firstOfAll: readonly Scene[] = [
  {
    name: 'first record of all',
    rule: 'append-only',
    before: fileBefore,
    act: (stage) => scenarios(stage, stage.fresh, 1),
  },
  {
    name: 'first record of all',
    rule: 'overwrite-by-placekey',
    before: recordsBefore,
    act: (stage) => vitalSigns(stage, stage.fresh),
  },
]

export type Case = { readonly scene: Scene; readonly call: string; readonly nth: number }

/** Every call of these kinds that a scene makes. These are all places for a fault. */
export async function casesOf(scene: Scene, root: string, calls: readonly string[]): Promise<Case[]> {
  const ledger = new Ledger('count')
  const receiver = await startOneThreaded({ DATA_DIR: root })
  try {
    const stage = stageOf(receiver, ledger)
    await scene.before(stage)
    const trace = await attach(receiver.process.pid as number, `${root}.trace`, ['-e', `trace=${calls}`])
    await scene.act(stage)
    await sleep(quietMs * 2)
    const counted = countCalls(await trace.end())
    return [...counted].flatMap(([call, count]) =>
      Array.from({ length: count }, (_, index) => ({ scene, call, nth: index + 1 })),
    )
  } finally {
    ledger.close()
    await receiver.stop('SIGKILL')
  }
}

/** Tears a records file as a kill during a write would: half a record over the closing. */
export function tear(path: string): void {
  truncateSync(path, statSync(path).size - 3)
  writeFileSync(path, ',\n{"addon":"scn01","contract_version":"1.0","associat', { flag: 'a' })
}

const lockOf = (records: string): string => `${records}.lock`

/** Removes every lock below a data directory, because a start would wait 5 s for it. Call it only when the holders have ended. */
export function removeLocks(root: string): void {
  const directory = join(root, 'scn01')
  for (const slug of existsSync(directory) ? readdirSync(directory) : [])
    rmSync(lockOf(join(directory, slug, 'records.json')), { recursive: true, force: true })
}

/** Some of the items, in random order. */
export function sample<T>(items: readonly T[], count: number, dice: Random): T[] {
  const rest = [...items]
  return Array.from(
    { length: Math.min(count, items.length) },
    () => rest.splice(dice.below(rest.length), 1)[0] as T,
  )
}
