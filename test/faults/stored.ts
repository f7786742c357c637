/** Records for the fault parts, and what is on disk read back with nothing of `src/storage`: bytes, JSON and SHA-256. */
import { hash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Json } from '../../contracts/contract.ts'
import type { AcceptedRecord, Member, Outcome, Receipt } from '../../contracts/record.ts'
import type { Log } from '../../src/log.ts'
import { openStore, type Store } from '../../src/storage/store.ts'

export const addons = { 'append-only': 'scn01', 'overwrite-by-placekey': 'vs01' } as const

export const silent: Log = { info() {}, warn() {}, error() {}, fatal() {} }

/** Distinct for distinct `name`s; about `size` bytes of content. */
export type Sent = {
  readonly rule: AcceptedRecord['storage']
  readonly slug: string
  readonly participant: string
  readonly name: string
  readonly size: number
}

/** As http hands it on. With characters that are escaped, that take several bytes, and a number with an exponent. */
export function recordOf(sent: Sent): AcceptedRecord {
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
  return openStore({ root, minFreeBytes: 0, log })
}

/**
 * As a sender does: an append that was told `busy` is sent again, up to three times in all, since on a machine with far too
 * much to do even a lock that nobody else wants may age before its turn. Not an overwrite: it could come after a later one.
 */
export async function post(store: Store, sent: Sent): Promise<Outcome> {
  const record = recordOf(sent)
  for (let attempt = 1; ; attempt++) {
    const outcome = await store.put(record, performance.now() + 9_000)
    const isBusy = !outcome.ok && outcome.fault === 'busy'
    if (!isBusy || attempt === 3 || sent.rule === 'overwrite-by-placekey') return outcome
  }
}

export const sha256 = (bytes: Buffer | string): string => hash('sha256', bytes, 'hex')

export function recordsPath(root: string, slug: string): string {
  return join(root, 'scn01', slug, 'records.json')
}

export function headPath(records: string): string {
  return join(dirname(records), '.records.head.json')
}

/** What recovery has kept beside a records file, oldest first. */
export function tornOf(records: string): Buffer[] {
  const directory = dirname(records)
  const names = readdirSync(directory).filter((name) => name.startsWith('records.json.torn-'))
  return names.sort().map((name) => readFileSync(join(directory, name)))
}

export type Chain = { readonly lines: readonly Buffer[]; readonly ids: readonly string[] }

const noHash = '0'.repeat(64)

/** The lines of a records file without their commas; a sentence when it is not what SPEC 4 says. */
export function chainOf(bytes: Buffer): Chain | string {
  const text = bytes.toString('utf8')
  let parsed: { receipt?: { id: string; sequence: number; previous_sha256: string } }[]
  try {
    parsed = JSON.parse(text)
  } catch {
    return 'not valid JSON'
  }
  if (!Array.isArray(parsed)) return 'not an array'
  if (!text.endsWith('\n]\n')) return 'does not end as a file at rest'
  if (parsed.length === 0) return { lines: [], ids: [] }
  const lines: Buffer[] = []
  let start = 2
  for (let feed = bytes.indexOf(10, start); feed !== -1; feed = bytes.indexOf(10, start)) {
    lines.push(bytes.subarray(start, bytes[feed - 1] === 44 ? feed - 1 : feed))
    start = feed + 1
  }
  lines.pop() // the closing bracket
  if (lines.length !== parsed.length) return 'not one record a line'
  let previous = noHash
  for (const [index, { receipt }] of parsed.entries()) {
    if (receipt?.sequence !== index + 1) return `sequence ${receipt?.sequence} at place ${index + 1}`
    if (receipt.previous_sha256 !== previous) return `the chain is broken at ${index + 1}`
    previous = sha256(lines[index] as Buffer)
  }
  return { lines, ids: parsed.map(({ receipt }) => receipt?.id ?? '') }
}

/** Whether a receipt is that of this line, at its place. */
export function isReceiptOf(receipt: Receipt, { lines, ids }: Chain): boolean {
  const at = (receipt.sequence ?? 0) - 1
  const line = lines[at]
  return line !== undefined && ids[at] === receipt.id && sha256(line) === receipt.record_sha256
}

/** Counts of one row while it grows; each violation is named once, with an example. */
export class Tally {
  cases = 0
  readonly #counts = { lost: 0, duplicated: 0, unreadable: 0, wrong: 0 }
  readonly #notes = new Map<string, { count: number; example: string }>()

  violation(kind: 'lost' | 'duplicated' | 'unreadable' | 'wrong', what: string, example: string): void {
    this.#counts[kind]++
    this.note(what, example)
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

/** Runs `work` on each item, `width` at a time. */
export async function inParallel<T>(
  items: Iterable<T> | AsyncIterable<T>,
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  for await (const item of items) {
    const one = work(item).finally(() => running.delete(one))
    running.add(one)
    if (running.size >= width) await Promise.race(running)
  }
  await Promise.all(running)
}

/**
 * A directory of its own for `work`, in memory where that is to be had: its files are as real, and for parts that do not ask
 * what an fsync does it is many times faster.
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
