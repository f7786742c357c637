/** Short stories that make a receiver go through each of its sequences of system calls, for faults at every n-th call. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Receiver } from '../receiver.ts'
import { type Ledger, participantOf } from './load.ts'
import type { Row } from './part.ts'
import type { Random } from './random.ts'

export type Scene = {
  readonly name: string
  readonly rule: Extract<Row['rule'], 'append-only' | 'overwrite-by-placekey'>
  /** What is there already. The faults begin after it. */
  before(receiver: Receiver, ledger: Ledger): Promise<void>
  act(receiver: Receiver, ledger: Ledger): Promise<void>
}

const slug = 'heron-ridge'
const file = (receiver: Receiver): string => join(receiver.dataDir, 'scn01', slug, 'records.json')
/** Longer than a lock is kept without work. */
const quietMs = 150

async function scenarios(receiver: Receiver, ledger: Ledger, count: number, at = slug): Promise<void> {
  const fresh = Array.from({ length: count }, () => ledger.newScenario(at, 'x'.repeat(200)))
  await Promise.all(fresh.map((sent) => ledger.post(receiver.url, sent)))
}

async function vitalSigns(receiver: Receiver, ledger: Ledger, at = slug): Promise<void> {
  await ledger.post(receiver.url, ledger.newVitalSigns(at, participantOf(0)))
}

async function storedBefore(receiver: Receiver, ledger: Ledger): Promise<void> {
  await scenarios(receiver, ledger, 3)
  await vitalSigns(receiver, ledger)
  await sleep(quietMs)
}

export const scenes: readonly Scene[] = [
  {
    name: 'append',
    rule: 'append-only',
    before: storedBefore,
    act: (receiver, ledger) => scenarios(receiver, ledger, 3),
  },
  {
    name: 'first record of an association',
    rule: 'append-only',
    before: storedBefore,
    act: (receiver, ledger) => scenarios(receiver, ledger, 1, 'wren-hollow'),
  },
  {
    name: 'first record of all',
    rule: 'append-only',
    before: vitalSigns,
    act: (receiver, ledger) => scenarios(receiver, ledger, 1),
  },
  {
    name: 'append after a torn write',
    rule: 'append-only',
    async before(receiver, ledger) {
      await storedBefore(receiver, ledger)
      tear(file(receiver))
    },
    act: (receiver, ledger) => scenarios(receiver, ledger, 1),
  },
  {
    name: 'append under a lock that a kill left',
    rule: 'append-only',
    async before(receiver, ledger) {
      await storedBefore(receiver, ledger)
      mkdirSync(`${file(receiver)}.lock`)
      ageLocks(receiver.dataDir)
    },
    act: (receiver, ledger) => scenarios(receiver, ledger, 1),
  },
  {
    name: 'overwrite',
    rule: 'overwrite-by-placekey',
    before: storedBefore,
    act: vitalSigns,
  },
  {
    name: 'first record of a Placekey',
    rule: 'overwrite-by-placekey',
    before: storedBefore,
    act: (receiver, ledger) => vitalSigns(receiver, ledger, 'wren-hollow'),
  },
]

/** As a kill during a write leaves it: half a record over the closing. */
function tear(path: string): void {
  truncateSync(path, statSync(path).size - 3)
  writeFileSync(path, ',\n{"addon":"scn01","contract_version":"1.0","associat', { flag: 'a' })
}

/** Makes every lock below a data directory look as it will when the stale time has passed. Only after its holder's end. */
export function ageLocks(root: string): void {
  const before = new Date(Date.now() - 6_000)
  const directory = join(root, 'scn01')
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const lock = join(directory, name, 'records.json.lock')
    if (existsSync(lock)) utimesSync(lock, before, before)
  }
}

/** Some of the items, in an order of its own. */
export function sample<T>(items: readonly T[], count: number, dice: Random): T[] {
  const rest = [...items]
  return Array.from(
    { length: Math.min(count, items.length) },
    () => rest.splice(dice.below(rest.length), 1)[0] as T,
  )
}
