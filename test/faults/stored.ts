/** Records for the fault tests, the store to which they are posted, and the counts of the outcomes. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Json } from '../../contracts/contract.ts'
import type { AcceptedRecord, Member, Outcome } from '../../contracts/record.ts'
import type { Log } from '../../src/log.ts'
import { openFileStore } from '../../src/storage/files/store.ts'
import type { Store } from '../../src/storage/store.ts'
import { type Chain, chainIn } from '../disk.ts'

export const addons = { 'append-only': 'scn01', 'overwrite-by-placekey': 'vs01' } as const

export const silent: Log = { info() {}, warn() {}, error() {}, fatal() {} }

/** An envelope that is different for each `name`, with about `size` bytes of content. */
export type StoredEnvelope = {
  readonly rule: AcceptedRecord['storage']
  readonly slug: string
  readonly participant: string
  readonly name: string
  readonly size: number
}

/** The record as the code of a request passes it on. It has escaped characters, characters of several bytes, and a number with an exponent. */
export function recordOf(sent: StoredEnvelope): AcceptedRecord {
  const { rule, slug, participant, name, size } = sent
  const addon = addons[rule]
  const content: Json = { text: name.padEnd(size, '. ré"\\\n}],'), number: 1e21, '': [null, { list: [] }] }
  const members: Member[] = [
    ['addon', addon],
    ['association_slug', slug],
    ['participant_id', participant],
    ['fields', content],
  ]
  const unhashed: Member[] = rule === 'append-only' ? [['node_token_hash', 'f'.repeat(64)]] : []
  return { addon, association_slug: slug, participant_id: participant, storage: rule, members, unhashed }
}

export function storeOn(root: string, log: Log = silent): Store {
  return openFileStore({ root, minFreeBytes: 0, log })
}

/**
 * Posts like a sender: an append that is answered with `busy` is sent again, up to three times in all, because on an overloaded machine even a
 * lock that nobody else wants may age before its turn. An overwrite is not sent again, because it could then arrive after a later one.
 */
export async function post(store: Store, sent: StoredEnvelope): Promise<Outcome> {
  const record = recordOf(sent)
  for (let attempt = 1; ; attempt++) {
    const outcome = await store.put(record, performance.now() + 9_000)
    const isBusy = !outcome.ok && outcome.fault === 'busy'
    if (!isBusy || attempt === 3 || sent.rule === 'overwrite-by-placekey') return outcome
  }
}

/** The counts of one row of the table. Each violation is named once, with an example. */
export class Tally {
  cases = 0
  readonly #counts = { lost: 0, duplicated: 0, unreadable: 0, wrong: 0 }
  readonly #notes = new Map<string, { count: number; example: string }>()

  violation(kind: 'lost' | 'duplicated' | 'unreadable' | 'wrong', what: string, example: string): void {
    this.#counts[kind]++
    this.note(what, example)
  }

  /** The chain of a records file at rest. A file that is not whole counts as a violation. */
  chainIn(bytes: Buffer, example: string, before = ''): Chain | undefined {
    try {
      return chainIn(bytes)
    } catch (error) {
      this.violation('unreadable', `${before}${(error as Error).message}`, example)
      return undefined
    }
  }

  note(what: string, example = ''): void {
    const known = this.#notes.get(what)
    if (known) known.count++
    else this.#notes.set(what, { count: 1, example })
  }

  get isClean(): boolean {
    return Object.values(this.#counts).every((count) => count === 0)
  }

  row(fault: string, rule: 'append-only' | 'overwrite-by-placekey' | 'both') {
    const notes = [...this.#notes].map(
      ([what, { count, example }]) => `${what} (${count}${example && `, first: ${example}`})`,
    )
    return { fault, rule, cases: this.cases, ...this.#counts, notes }
  }
}

/**
 * Runs `work` with a directory of its own, in memory if possible. Its files are just as real, and it is many times faster for parts that do not
 * test an fsync.
 */
export async function inMemory<T>(scratch: string, work: (root: string) => Promise<T>): Promise<T> {
  const memory = '/dev/shm'
  const root = mkdtempSync(join(existsSync(memory) ? memory : scratch, 'civic-faults-'))
  const tidy = (): void => rmSync(root, { recursive: true, force: true })
  process.once('exit', tidy)
  try {
    return await work(root)
  } finally {
    process.off('exit', tidy)
    tidy()
  }
}
