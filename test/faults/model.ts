/**
 * The part `model`: three processes with the real storage modules work on one data directory. They get random posts, retries, parallel retries,
 * pauses and restarts, are killed while they work and while they rest, and find torn tails and missing or old head files. Their answers and the
 * disk are compared with a model of SPEC 4 in a few maps: an envelope has one place and one receipt for ever; of two envelopes for one Placekey
 * the last one stays.
 *
 * A killed process leaves posts without an answer. The model then permits both outcomes until the disk or a retry shows which one is true.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Outcome, Receipt } from '../../contracts/record.ts'
import { headPath, recordsPath, sha256 } from '../disk.ts'
import type { Order, Posting, RoundReport } from './model-process.ts'
import type { Part, Row, Run } from './part.ts'
import { type Random, random } from './random.ts'
import { addons, inMemory, type StoredEnvelope, Tally } from './stored.ts'

const processFile = fileURLToPath(new URL('./model-process.ts', import.meta.url))
const processes = 3
const operations = 1_000_000
/** At this number of records a new association replaces an old one, so that reading it back stays cheap. */
const longest = 4_000
const participants = 12

/** A storage process and its orders. */
class Storage {
  readonly #root: string
  #child: ChildProcess

  constructor(root: string) {
    this.#root = root
    this.#child = this.#start()
  }

  #start(): ChildProcess {
    const child = fork(processFile, [this.#root], { execArgv: ['--import', 'tsx'] })
    // A killed process may not have taken an order.
    child.on('error', () => {})
    return child
  }

  /** Sends an order, and gives the outcomes; undefined when the process was killed in the meantime. */
  async tell(order: Order): Promise<readonly Outcome[] | undefined> {
    const child = this.#child
    const ended = new AbortController()
    child.send(order)
    const report = once(child, 'message', { signal: ended.signal }).then(
      ([report]) => (report as RoundReport).outcomes,
      () => undefined,
    )
    const end = once(child, 'exit', { signal: ended.signal }).then(
      () => undefined,
      () => undefined,
    )
    const outcomes = await Promise.race([report, end])
    ended.abort()
    return outcomes
  }

  /** Kills the process and starts a new one. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
    this.#child = this.#start()
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

type ReceiptPlace = Required<Omit<Receipt, 'outcome'>>

const placeOf = ({ outcome: _, ...place }: Receipt): ReceiptPlace => place as ReceiptPlace

const isSame = (a: ReceiptPlace, b: ReceiptPlace): boolean =>
  a.sequence === b.sequence &&
  a.record_sha256 === b.record_sha256 &&
  a.received_at === b.received_at &&
  a.previous_sha256 === b.previous_sha256 &&
  a.id === b.id

/** The model of one records file, by SPEC 4. */
class Records {
  readonly #path: string
  readonly #tally: Tally
  readonly #places = new Map<string, ReceiptPlace>()
  readonly #names: string[] = []
  /** Names that were sent and never answered; each may be stored or not. */
  readonly #unknown = new Set<string>()

  constructor(path: string, tally: Tally) {
    this.#path = path
    this.#tally = tally
  }

  get count(): number {
    return this.#names.length
  }

  /** A random name that was stored or at least sent. */
  anyName(random: Random): string | undefined {
    return this.#names.length > 0 ? random.of(this.#names) : undefined
  }

  /** Notes all answers of one round for one name. */
  answered(name: string, outcomes: readonly (Outcome | undefined)[]): void {
    const receipts = outcomes.flatMap((outcome) => (outcome?.ok ? [outcome.receipt] : []))
    for (const outcome of outcomes) {
      if (outcome && !outcome.ok) this.#tally.violation('wrong', `answered ${outcome.fault}`, name)
    }
    const known = this.#places.get(name)
    const appended = receipts.filter(({ outcome }) => outcome === 'appended').length
    const [first] = receipts
    if (!first) {
      if (!known) this.#unknown.add(name)
      return
    }
    const place = known ?? placeOf(first)
    if (!receipts.every((receipt) => isSame(placeOf(receipt), place)))
      this.#tally.violation('duplicated', 'two receipts for one envelope', name)
    const mayBeThere = known !== undefined || this.#unknown.has(name) || outcomes.includes(undefined)
    if (appended > (known ? 0 : 1)) this.#tally.violation('duplicated', 'appended twice', name)
    if (appended === 0 && !mayBeThere)
      // Its process stored it and lost the lock before it answered. `readBack` checks whether it is there.
      this.#tally.note('answered as a duplicate although nobody was told that it was stored', name)
    this.#learn(name, place)
  }

  #learn(name: string, place: ReceiptPlace): void {
    if (!this.#places.has(name)) this.#names.push(name)
    this.#places.set(name, place)
    this.#unknown.delete(name)
  }

  /** Compares the file with everything that the model knows. Nobody may be writing. */
  readBack(): void {
    if (!existsSync(this.#path)) {
      if (this.count > 0) this.#tally.violation('lost', 'the records file is missing', this.#path)
      return
    }
    const chain = this.#tally.chainIn(readFileSync(this.#path), this.#path)
    if (!chain) return
    const onDisk = new Map<string, ReceiptPlace>()
    for (const line of chain.lines) {
      const { fields, receipt } = JSON.parse(line.toString())
      const name = fields.text.slice(0, fields.text.indexOf('.'))
      if (onDisk.has(name)) this.#tally.violation('duplicated', 'stored twice', name)
      onDisk.set(name, { ...receipt, record_sha256: sha256(line) })
    }
    for (const [name, place] of this.#places) {
      const found = onDisk.get(name)
      if (!found) this.#tally.violation('lost', 'an acknowledged record is not there', name)
      else if (!isSame(found, place)) this.#tally.violation('lost', 'a record was altered', name)
    }
    for (const [name, place] of onDisk) {
      if (this.#places.has(name)) continue
      if (this.#unknown.has(name)) this.#learn(name, place)
      else this.#tally.violation('wrong', 'a record that nobody sent', name)
    }
  }
}

/** The model of the file of one Placekey: the envelopes that it may hold now. */
class Latest {
  #possible = new Set<string>()
  #mayBeAbsent = true

  /** Notes the last post of each process in this round, and whether any post of the round was answered. */
  round(candidates: readonly string[], uncertain: readonly string[], isAnswered: boolean): void {
    const kept = isAnswered ? [] : this.#possible
    this.#possible = new Set([...kept, ...candidates, ...uncertain])
    if (isAnswered) this.#mayBeAbsent = false
  }

  readBack(path: string, tally: Tally): void {
    if (!existsSync(path)) {
      if (!this.#mayBeAbsent) tally.violation('lost', 'an acknowledged envelope is not there', path)
      return
    }
    try {
      const { fields } = JSON.parse(readFileSync(path, 'utf8'))
      const name = fields.text.slice(0, fields.text.indexOf('.'))
      if (!this.#possible.has(name)) tally.violation('lost', 'not the last envelope', name)
      this.#possible = new Set([name])
      this.#mayBeAbsent = false
    } catch {
      tally.violation('unreadable', 'the file is not one whole envelope', path)
    }
  }
}

/** Plants a fault in a records file at rest. No fault touches a record that was acknowledged. */
function plant(path: string, olderHead: Buffer | undefined, random: Random): void {
  if (!existsSync(path)) return
  const bytes = readFileSync(path)
  const whole = bytes.subarray(0, -3)
  const isEmpty = whole.length < 2
  const torn = (tail: Buffer): void => writeFileSync(path, Buffer.concat([whole, tail]))
  random.of([
    () => torn(Buffer.from(isEmpty ? '\n{"addon":"sc' : ',\n{"addon":"scn01","associ')),
    () => torn(Buffer.from('\n]')),
    () => torn(Buffer.alloc(0)),
    () => torn(Buffer.concat([Buffer.from(isEmpty ? '\n' : ',\n'), Buffer.alloc(900)])),
    () => torn(Buffer.concat([Buffer.from(isEmpty ? '\n{' : ',\n{'), random.bytes(300)])),
    () => rmSync(headPath(path), { force: true }),
    () => olderHead && writeFileSync(headPath(path), olderHead),
    () => writeFileSync(headPath(path), Buffer.alloc(192)),
  ])()
}

class World {
  readonly #root: string
  readonly #random: Random
  readonly #storages: readonly Storage[]
  readonly appends = new Tally()
  readonly overwrites = new Tally()
  #records = new Map<string, Records>()
  readonly #latest = new Map<string, Latest>()
  #olderHeads = new Map<string, Buffer>()
  #slugs = 0
  #names = 0
  #rounds = 0
  done = 0

  constructor(root: string, random: Random) {
    this.#root = root
    this.#random = random
    this.#storages = Array.from({ length: processes }, () => new Storage(root))
    for (let n = 0; n < 3; n++) this.#newAssociation()
  }

  #newAssociation(): void {
    const slug = `association-${++this.#slugs}`
    this.#records.set(slug, new Records(recordsPath(this.#root, slug), this.appends))
  }

  #anyPost(shared: readonly StoredEnvelope[]): StoredEnvelope {
    const random = this.#random
    const size = random.of([30, 30, 200, 2_000])
    if (random.oneIn(10)) {
      const participant = `SASE${random.below(participants)}-22c-at-5sb-8hm-54v`
      return { rule: 'overwrite-by-placekey', slug: 'one', participant, name: this.#newName(), size }
    }
    if (random.oneIn(3) && shared.length > 0) return random.of(shared)
    const [slug, records] = random.of([...this.#records])
    const old = random.oneIn(2) ? records.anyName(random) : undefined
    return this.#append(slug, old ?? this.#newName())
  }

  #newName(): string {
    return `envelope ${++this.#names}`
  }

  /** The append of a name. The same name always gives the same envelope. */
  #append(slug: string, name: string): StoredEnvelope {
    const size = [30, 30, 200, 2_000][Number(name.slice(-1)) % 4] as number
    return { rule: 'append-only', slug, participant: '@5sb-8hm-54v', name, size }
  }

  #postsOf(shared: readonly StoredEnvelope[], count: number): Posting[] {
    const random = this.#random
    return Array.from({ length: count }, () => {
      const sent = this.#anyPost(shared)
      return random.oneIn(40) ? { sent, pauseMs: random.of([0, 1, 6, 55]) } : { sent }
    })
  }

  async round(): Promise<void> {
    const random = this.#random
    const shared = Array.from({ length: random.below(20) }, () =>
      this.#append(random.of([...this.#records.keys()]), this.#newName()),
    )
    const orders = this.#storages.map(() => this.#postsOf(shared, random.of([0, 1, 4, 16, 64, 256])))
    const killed = ++this.#rounds === 10 || random.oneIn(200) ? random.below(processes) : undefined
    const answers = await Promise.all(
      this.#storages.map(async (storage, at) => {
        const answer = storage.tell({ kind: 'round', posts: orders[at] as Posting[] })
        if (at === killed) {
          await sleep(random.below(20))
          await storage.kill()
        }
        return answer
      }),
    )
    this.done += orders.flat().length
    this.#compare(orders, answers)
    await this.#between()
  }

  #compare(
    orders: readonly (readonly Posting[])[],
    answers: readonly (readonly Outcome[] | undefined)[],
  ): void {
    const appended = new Map<string, { records: Records; outcomes: (Outcome | undefined)[] }>()
    type Written = { lasts: Map<number, string>; uncertain: string[]; answered: boolean }
    const written = new Map<string, Written>()
    for (const [process, posts] of orders.entries()) {
      for (const [at, { sent }] of posts.entries()) {
        const outcome = answers[process]?.[at]
        if (sent.rule === 'append-only') {
          this.appends.cases++
          const records = this.#records.get(sent.slug) as Records
          const found = appended.get(sent.name) ?? { records, outcomes: [] }
          appended.set(sent.name, found)
          found.outcomes.push(outcome)
          continue
        }
        this.overwrites.cases++
        const found: Written = written.get(sent.participant) ?? {
          lasts: new Map(),
          uncertain: [],
          answered: false,
        }
        written.set(sent.participant, found)
        if (outcome && !outcome.ok) this.overwrites.violation('wrong', `answered ${outcome.fault}`, sent.name)
        if (outcome?.ok) {
          found.lasts.set(process, sent.name)
          found.answered = true
        } else found.uncertain.push(sent.name)
      }
    }
    for (const [name, { records, outcomes }] of appended) records.answered(name, outcomes)
    for (const [participant, { lasts, uncertain, answered }] of written) {
      const latest = this.#latest.get(participant) ?? new Latest()
      this.#latest.set(participant, latest)
      latest.round([...lasts.values()], uncertain, answered)
      if (this.#random.oneIn(4)) latest.readBack(this.#fileOf(participant), this.overwrites)
    }
  }

  #fileOf(participant: string): string {
    return join(this.#root, addons['overwrite-by-placekey'], 'one', `${participant}.json`)
  }

  /** Makes the events between two rounds. */
  async #between(): Promise<void> {
    const random = this.#random
    if (random.oneIn(10)) await sleep(random.of([2, 20, 60]))
    if (random.oneIn(4))
      await random.of(this.#storages).tell({ kind: random.of(['quiet', 'reopen'] as const) })
    if (this.#rounds === 20 || random.oneIn(200)) await random.of(this.#storages).kill()
    if (random.oneIn(8)) await this.#plant()
    if (random.oneIn(25)) await this.readBack()
  }

  async #plant(): Promise<void> {
    await Promise.all(this.#storages.map((storage) => storage.tell({ kind: 'quiet' })))
    for (const slug of this.#records.keys()) {
      const path = recordsPath(this.#root, slug)
      // A killed process has left its lock, and perhaps a torn tail.
      if (this.#random.oneIn(2) || existsSync(`${path}.lock`)) continue
      const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
      if (bytes.subarray(-3).toString() !== '\n]\n') continue
      plant(path, this.#olderHeads.get(slug), this.#random)
      if (this.#random.oneIn(3) && existsSync(headPath(path)))
        this.#olderHeads.set(slug, readFileSync(headPath(path)))
    }
  }

  /** Compares the disk with the whole model. One post to each association before that repairs planted faults and leftovers. */
  async readBack(): Promise<void> {
    const posts = [...this.#records.keys()].map((slug) => ({ sent: this.#append(slug, this.#newName()) }))
    const storage = this.#random.of(this.#storages)
    this.#compare([posts], [await storage.tell({ kind: 'round', posts })])
    for (const [slug, records] of this.#records) {
      records.readBack()
      if (records.count < longest) continue
      this.#records.delete(slug)
      this.#newAssociation()
    }
    for (const [participant, latest] of this.#latest)
      latest.readBack(this.#fileOf(participant), this.overwrites)
  }

  end(): void {
    for (const storage of this.#storages) storage.end()
  }
}

async function run(settings: Run): Promise<readonly Row[]> {
  return inMemory(settings.scratch, (root) => runIn(settings, root))
}

async function runIn({ seed, share, until, progress }: Run, root: string): Promise<readonly Row[]> {
  const world = new World(root, random(seed))
  const total = Math.ceil(operations * share)
  try {
    while (world.done < total && performance.now() < until) {
      await world.round()
      progress(world.done, total)
    }
    await world.readBack()
  } finally {
    world.end()
  }
  const fault = 'random operations, restarts, kills, tears'
  return [world.appends.row(fault, 'append-only'), world.overwrites.row(fault, 'overwrite-by-placekey')]
}

export const part: Part = { name: 'model', missing: async () => undefined, run }
