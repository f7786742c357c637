/**
 * The part `crash-states`: the calls of the real storage modules are recorded. Every state that a crash can leave is made as a real directory
 * (`crash-model.ts`), and the real modules start on each. Then every post of the run is sent again, twice. The file must be valid JSON with an
 * unbroken chain, every acknowledged record must be there byte for byte, and every post must be stored once. The calls of a recovery are recorded
 * as well, and the states that a crash during it can leave are checked too.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Outcome, Receipt } from '../../contracts/record.ts'
import { recordsName } from '../../src/records/layout.ts'
import { commandOf } from '../bundle.ts'
import { isReceiptOf, recordsPath } from '../disk.ts'
import { lacking } from '../needs.ts'
import {
  crashStates,
  joined,
  type Limits,
  materialise,
  type Scenario,
  type State,
  stateAfter,
} from './crash-model.ts'
import { inParallel, type Part, type Row, type Run } from './part.ts'
import { type Random, random } from './random.ts'
import { addons, inMemory, post, type StoredEnvelope, storeOn, Tally } from './stored.ts'
import { type Call, record } from './system-calls.ts'

const slug = 'heron-ridge'
const width = 16
const association = join(addons['append-only'], slug)

/** Steps of batches one after another, with records of about `size` bytes. */
function appending(batches: readonly number[], size: number): StoredEnvelope[][] {
  let number = 0
  return batches.map((batch) =>
    Array.from({ length: batch }, () => ({
      rule: 'append-only' as const,
      slug,
      participant: '@5sb-8hm-54v',
      name: `record ${number++}`,
      size,
    })),
  )
}

/** Steps of envelopes of some participants in turn, one after another and several at once. */
function overwriting(rounds: readonly number[], size: number, participants: number): StoredEnvelope[][] {
  let number = 0
  return rounds.map((round) =>
    Array.from({ length: round }, (_, at) => ({
      rule: 'overwrite-by-placekey' as const,
      slug,
      participant: `SASE${at % participants}-22c-at-5sb-8hm-54v`,
      name: `envelope ${number++}`,
      size,
    })),
  )
}

const appends: readonly (readonly [readonly number[], number])[] = [
  [[1], 60],
  [[1, 1, 1, 1, 1, 1], 60],
  [[2, 1, 2], 60],
  [[3, 3], 300],
  [[1, 4], 1_500],
  [[1, 1], 9_000],
  [[8, 5], 100],
  [[1, 16], 200],
  [[32, 1], 60],
  [[3, 64], 60],
  [[64], 400],
]

/** Each entry holds the rounds, the size and the number of participants. */
const overwrites: readonly (readonly [readonly number[], number, number])[] = [
  [[1], 60, 1],
  [[1, 1, 1], 700, 1],
  [[2, 4, 2], 300, 2],
  [[6, 6], 60, 6],
  [[1, 1], 5_000, 1],
]

type Recorded = {
  readonly scenario: Scenario
  readonly calls: readonly Call[]
  readonly earlier: State['answered']
  /** If set, only crashes after this place in the trace are checked. */
  readonly since?: number
}

/** The calls of each scenario, without those on the lock directory, because a start waits 5 s for a lock. The scenario `locked` shows that. */
function split(scenarios: readonly Scenario[], calls: readonly Call[]): Recorded[] {
  const found: Recorded[] = []
  let current: Call[] = []
  for (const call of calls) {
    const words = call.kind === 'said' ? JSON.parse(call.line) : {}
    if (words.begin !== undefined) current = []
    else if (words.end !== undefined)
      found.push({ scenario: scenarios[words.end] as Scenario, calls: current, earlier: [] })
    else if (call.kind === 'said' || !/\.lock(\.stale-\d+)?$/.test(call.path)) current.push(call)
  }
  if (found.length !== scenarios.length) throw new Error('the trace is not complete')
  return found
}

async function recordAll(scratch: string, name: string, scenarios: readonly Scenario[]): Promise<Recorded[]> {
  const list = join(scratch, `${name}.json`)
  writeFileSync(list, JSON.stringify(scenarios))
  const driver = await commandOf('test/faults/crash-driver.ts')
  const calls = await record(join(scratch, name), join(scratch, `${name}.trace`), [...driver, list])
  rmSync(join(scratch, `${name}.trace`))
  return split(scenarios, calls)
}

/** The receipts that the posts of a scenario got before the crash, by the number of the post. */
function receiptsOf(answered: State['answered']): Map<number, Receipt> {
  return new Map(answered.flatMap(({ post, outcome }) => (outcome.ok ? [[post, outcome.receipt]] : [])))
}

async function checkAppends(
  root: string,
  sent: readonly StoredEnvelope[],
  state: State,
  tally: Tally,
  what: string,
) {
  const store = storeOn(root)
  if (sent.length % 2 === 0) await store.start()
  const order = [...sent.keys(), sent.length - 1]
  const outcomes = await Promise.all(order.map((at) => post(store, sent[at] as StoredEnvelope)))
  await store.close()
  const refused = outcomes.find(({ ok }) => !ok) as Extract<Outcome, { ok: false }> | undefined
  if (refused) {
    tally.violation('unreadable', `the start after it answered ${refused.fault}`, what)
    return
  }
  const chain = tally.chainIn(readFileSync(recordsPath(root, slug)), what)
  if (!chain) return
  for (const [post, receipt] of receiptsOf(state.answered)) {
    if (!isReceiptOf(receipt, chain))
      tally.violation('lost', `acknowledged record ${post} is not there`, what)
    const again = outcomes[post] as Extract<Outcome, { ok: true }>
    if (again.receipt.outcome !== 'duplicate' || again.receipt.received_at !== receipt.received_at)
      tally.violation('duplicated', 'a retry was not given the first receipt', what)
  }
  for (const outcome of outcomes) {
    if (outcome.ok && !isReceiptOf(outcome.receipt, chain))
      tally.violation('lost', 'a retry was acknowledged and is not there', what)
  }
  if (new Set(chain.records.map(({ receipt }) => receipt.id)).size !== chain.records.length)
    tally.violation('duplicated', 'an id is there twice', what)
  if (chain.records.length !== sent.length)
    tally.violation('wrong', 'other records than those sent are there', what)
}

/** Which of the posts the file of a participant holds; undefined when there is no file. */
function heldBy(
  path: string,
  sent: readonly StoredEnvelope[],
): { at: number; receivedAt: string } | undefined {
  if (!existsSync(path)) return undefined
  const { fields, receipt } = JSON.parse(readFileSync(path, 'utf8'))
  const at = sent.findIndex(({ name }) => fields.text.startsWith(`${name}.`))
  if (at < 0) throw new Error('not one of the envelopes')
  return { at, receivedAt: receipt.received_at }
}

async function checkOverwrites(
  root: string,
  sent: readonly StoredEnvelope[],
  state: State,
  tally: Tally,
  what: string,
) {
  const receipts = receiptsOf(state.answered)
  const directory = join(root, addons['overwrite-by-placekey'], slug)
  const store = storeOn(root)
  age(directory)
  await store.start()
  if (existsSync(directory) && readdirSync(directory).some((name) => !name.endsWith('.json')))
    tally.violation('wrong', 'a trace of an earlier state is left after the sweep', what)
  for (const participant of new Set(sent.map(({ participant }) => participant))) {
    const path = join(directory, `${participant}.json`)
    const own = [...sent.entries()].filter(([, of]) => of.participant === participant).map(([at]) => at)
    const last = own.findLast((at) => receipts.has(at))
    try {
      const held = heldBy(path, sent)
      if (held === undefined ? last !== undefined : last !== undefined && held.at < last)
        tally.violation('lost', 'an acknowledged envelope is not there', what)
      if (held && receipts.has(held.at) && receipts.get(held.at)?.received_at !== held.receivedAt)
        tally.violation('wrong', 'the receipt in the file is not the one that was sent', what)
      const retried = own.at(-1) as number
      const outcome = await post(store, sent[retried] as StoredEnvelope)
      const expected = held ? 'replaced' : 'created'
      if (!outcome.ok || outcome.receipt.outcome !== expected || heldBy(path, sent)?.at !== retried)
        tally.violation('wrong', 'a retry was not stored', what)
    } catch {
      tally.violation('unreadable', 'the file is not one whole envelope', what)
    }
  }
  await store.close()
}

/** Makes the files of a directory old, because only old leftovers count as abandoned. */
function age(directory: string): void {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) utimesSync(join(directory, name), 0, 0)
}

let serial = 0

async function check(states: string, scenario: Scenario, state: State, tally: Tally, isLocked = false) {
  const root = join(states, `state-${serial++}`)
  materialise(root, state)
  const isAppend = scenario.steps[0]?.[0]?.rule === 'append-only'
  if (isLocked) mkdirSync(`${recordsPath(root, slug)}.lock`)
  tally.cases++
  await (isAppend ? checkAppends : checkOverwrites)(root, scenario.steps.flat(), state, tally, scenario.name)
  rmSync(root, { recursive: true })
}

/** Whether the records file does not end as at rest, so that a start has to repair it. */
function isTorn(state: State): boolean {
  const bytes = state.files.get(join('scn01', slug, 'records.json'))
  return bytes !== undefined && bytes.length > 0 && bytes.subarray(-3).toString('latin1') !== '\n]\n'
}

/** Takes a sample of all offered items, each with the same chance. */
class Sample<T> {
  readonly taken: T[] = []
  #seen = 0
  readonly #size: number
  readonly #random: Random

  constructor(size: number, random: Random) {
    this.#size = size
    this.#random = random
  }

  offer(item: T): void {
    const at = this.#seen++ < this.#size ? this.taken.length : this.#random.below(this.#seen)
    if (at < this.#size) this.taken[at] = item
  }
}

type Torn = { readonly scenario: Scenario; readonly state: State }

type Checking = {
  readonly settings: Run
  /** The directory in which states are made. */
  readonly states: string
  readonly chance: Random
  /** The share of the states of one run to check. */
  readonly share: number
  readonly limits: Limits
  /** States that need a recovery, for the second round. */
  readonly torn: Sample<Torn>
  readonly any: Sample<Torn>
  done: number
}

/** Checks every state that a crash of one recorded run can leave. */
async function checkAll(the: Checking, one: Recorded, before: string, tally: Tally): Promise<void> {
  const { settings, chance, limits } = the
  const { scenario, calls, earlier, since = 0 } = one
  function* states(): Generator<State> {
    for (const state of crashStates(scenario.root, before, calls, limits, the.share, chance, since)) {
      if (performance.now() > settings.until) return
      yield { ...state, answered: [...earlier, ...state.answered] }
    }
  }
  await inParallel(states(), width, async (state) => {
    if (isTorn(state)) the.torn.offer({ scenario, state })
    if (state.directories.includes(association)) the.any.offer({ scenario, state })
    await check(the.states, scenario, state, tally)
    settings.progress(++the.done, Math.max(the.done, Math.ceil(expected * settings.share)))
  })
}

/** An estimate for the progress bar. */
const expected = 200_000

/** Records the recovery of these states, and checks every state that a crash during it can leave. */
async function checkRecoveries(
  the: Checking,
  name: string,
  torn: readonly Torn[],
  tally: Tally,
): Promise<void> {
  const { scratch } = the.settings
  const scenarios = torn.map(({ scenario, state }, at): Scenario => {
    const root = join(scratch, name, String(at))
    materialise(root, state)
    materialise(join(scratch, `${name}-before`, String(at)), state)
    return { name: `${name} after ${scenario.name}`, root, steps: [scenario.steps.flat()] }
  })
  const recorded = await recordAll(scratch, name, scenarios)
  for (const [at, one] of recorded.entries()) {
    const earlier = (torn[at] as Torn).state.answered
    await checkAll(the, { ...one, earlier }, join(scratch, `${name}-before`, String(at)), tally)
  }
}

/**
 * The process is killed after one of its calls and the power stays on. A new process answers the retries, and then the power is cut. The second
 * process must have synced what the first one had not.
 */
async function checkKills(
  the: Checking,
  before: string,
  runs: readonly Recorded[],
  tally: Tally,
): Promise<void> {
  const { scratch, share } = the.settings
  const changes = runs.flatMap((run) =>
    run.calls.flatMap(({ kind }, at) => (kind === 'said' || kind === 'sync' ? [] : [{ run, at }])),
  )
  // After the last append every record is in the file, but not synced. So the next process has nothing to write, and only has to sync.
  const lastAppends = runs.flatMap((run) => {
    const at = run.calls.findLastIndex((call) => call.kind === 'write' && basename(call.path) === recordsName)
    return at === -1 ? [] : [{ run, at }]
  })
  const killed = Array.from({ length: Math.ceil(40 * Math.sqrt(share)) }, (_, number) => {
    const { run, at } = the.chance.of(number % 2 === 0 ? lastAppends : changes)
    return { run, calls: run.calls.slice(0, at + 1) }
  })
  const scenarios = killed.map(({ run, calls }, at): Scenario => {
    const root = join(scratch, 'killed', String(at))
    materialise(root, stateAfter(run.scenario.root, before, calls))
    return { ...run.scenario, root, steps: [run.scenario.steps.flat()] }
  })
  for (const [at, second] of (await recordAll(scratch, 'killed', scenarios)).entries()) {
    const { run, calls } = killed[at] as (typeof killed)[number]
    const { root, name } = run.scenario
    const both = joined({ root, calls }, { root: second.scenario.root, calls: second.calls })
    const scenario = { ...second.scenario, root, name: `a kill in ${name}, restart, power cut` }
    await checkAll(the, { scenario, earlier: [], ...both }, before, tally)
  }
}

function scenariosOf(scratch: string): Scenario[] {
  const root = (name: string): string => {
    const path = join(scratch, 'run', name)
    mkdirSync(path, { recursive: true })
    return path
  }
  return [
    ...appends.map(([batches, size], at) => ({
      name: `appends of ${batches.join(', ')} records of ${size} bytes`,
      root: root(`append-${at}`),
      steps: appending(batches, size),
    })),
    ...overwrites.map(([rounds, size, participants], at) => ({
      name: `overwrites of ${rounds.join(', ')} envelopes of ${size} bytes`,
      root: root(`overwrite-${at}`),
      steps: overwriting(rounds, size, participants),
    })),
  ]
}

/** The recorded runs use the file system of `scratch`. The states are made in memory, because an fsync no longer matters for them. */
async function run(settings: Run): Promise<readonly Row[]> {
  return inMemory(settings.scratch, (states) => runIn(settings, states))
}

async function runIn(settings: Run, states: string): Promise<readonly Row[]> {
  const { scratch, seed, share } = settings
  const chance = random(seed)
  const tallies = {
    append: new Tally(),
    overwrite: new Tally(),
    recovery: new Tally(),
    locked: new Tally(),
    killed: new Tally(),
  }
  const some = (count: number): Sample<Torn> => new Sample(Math.ceil(count * Math.sqrt(share)), chance)
  const first: Checking = {
    settings,
    states,
    chance,
    share,
    limits: { cuts: 4_500, sectors: 4_096, names: 16 },
    torn: some(30),
    any: some(64),
    done: 0,
  }
  const empty = join(scratch, 'empty')
  mkdirSync(empty)
  const isAppending = (one: Recorded): boolean => one.scenario.name.startsWith('append')
  const runs = await recordAll(scratch, 'run', scenariosOf(scratch))
  for (const one of runs) {
    const isAppend = isAppending(one)
    await checkAll(first, one, empty, isAppend ? tallies.append : tallies.overwrite)
  }
  const fewer: Limits = { cuts: 250, sectors: 128, names: 8 }
  const second: Checking = { ...first, share: Math.sqrt(share), limits: fewer, torn: some(20) }
  await checkRecoveries(second, 'recovery', first.torn.taken, tallies.recovery)
  await checkKills(second, empty, runs.filter(isAppending), tallies.killed)
  const third: Checking = { ...second, torn: some(1) }
  await checkRecoveries(third, 'second recovery', second.torn.taken, tallies.recovery)
  await inParallel(first.any.taken, width * 4, ({ scenario, state }) =>
    check(states, scenario, state, tallies.locked, true),
  )
  return [
    tallies.append.row('crash while appending', 'append-only'),
    tallies.overwrite.row('crash while overwriting', 'overwrite-by-placekey'),
    tallies.recovery.row('crash while recovering', 'append-only'),
    tallies.killed.row('kill, restart, power cut', 'append-only'),
    tallies.locked.row('crash that leaves a lock', 'append-only'),
  ]
}

export const part: Part = { name: 'crash-states', missing: async () => lacking('strace'), run }
