/**
 * The site of a scene: a primary and a synchronous standby that can take its place, receivers that know both, one address in front of the
 * receivers, and senders that keep a ledger.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { attachStandby, type Server } from '../../postgres/cluster.ts'
import { preparedServer } from '../../postgres/prepared.ts'
import { type Receiver, startReceiver } from '../../receiver.ts'
import { judge, type Tally } from '../audit-disk.ts'
import { type Attempt, isStored, Ledger, type Load, startLoad } from '../load.ts'
import type { Random } from '../random.ts'
import { Address } from './address.ts'
import { readDatabase } from './read.ts'
import type { Times } from './times.ts'

/** A receiver answers within 10 s. This is how long a sender of this suite waits before it calls an answer missing. */
const patienceMs = 60_000
/** The time to recover after a fault has ended. It is long enough for an overloaded machine; a longer one is a violation. */
const recoveryMs = 90_000
const senders = 64
/** A text in each envelope, which no log may contain. */
const secret = 'the-words-of-a-sender'
const loopback = { receivers: '127.0.0.1', primary: '127.0.0.1', standby: '127.0.0.1' }

export type SiteOptions = {
  readonly dice: Random
  readonly tally: Tally
  readonly times: Times
  /** How a receiver is started. */
  readonly command: readonly string[]
  readonly requireStandby?: boolean
  /** A special primary; by default an ordinary one. `alone` means that there is no standby. */
  readonly primary?: Server
  readonly alone?: boolean
  /** There are two standbys, and a commit waits for so many of them. */
  readonly waitsFor?: 1 | 2
  /** By default all are on loopback. `receivers` is where they listen; the others are where they reach the servers. */
  readonly addresses?: { readonly receivers: string; readonly primary: string; readonly standby: string }
  /** Statuses that are permitted in addition to 2xx and 503. */
  readonly permitted?: readonly number[]
}

/** Thrown when a scene cannot go on. The violation has been counted already. */
export class Ended extends Error {}

export class Site {
  primary: Server
  standby: Server
  /** The other one of two standbys. */
  readonly second: Server | undefined
  readonly receivers: Receiver[] = []
  readonly ledger: Ledger
  readonly dice: Random
  readonly tally: Tally
  readonly #times: Times
  readonly #command: readonly string[]
  readonly #hosts: string
  readonly #listening: string
  readonly #requireStandby: boolean
  readonly #servers = new Set<Server>()
  /** All receivers since the start of the scene. */
  readonly #started: Receiver[] = []
  readonly #stopped = new Set<Receiver>()
  readonly #address: Address

  private constructor(options: SiteOptions, address: Address, primary: Server, standbys: readonly Server[]) {
    this.#address = address
    this.primary = primary
    this.standby = standbys[0] ?? primary
    this.second = standbys[1]
    this.dice = options.dice
    this.tally = options.tally
    this.#times = options.times
    this.#command = options.command
    this.ledger = new Ledger(secret, [503, ...(options.permitted ?? [])], patienceMs)
    this.#requireStandby = options.requireStandby ?? false
    for (const server of [primary, ...standbys]) this.#servers.add(server)
    const { receivers, primary: first, standby: others } = options.addresses ?? loopback
    this.#listening = receivers
    this.#hosts = [...this.#servers]
      .map((server) => `${server === primary ? first : others}:${server.port}`)
      .join(',')
  }

  static async open(options: SiteOptions): Promise<Site> {
    const { waitsFor, alone, primary = await preparedServer() } = options
    const standbys = alone ? [] : [await attachStandby(primary)]
    const names = `ANY ${waitsFor} (standby, second)`
    if (waitsFor !== undefined) standbys.push(await attachStandby(primary, { name: 'second', names }))
    const site = new Site(options, await Address.open(), primary, standbys)
    await site.startReceiver()
    await site.startReceiver()
    return site
  }

  /** Starts one more receiver, on a new data directory or on that of a receiver that has ended. */
  async startReceiver(dataDir?: string): Promise<Receiver> {
    const env = {
      DATABASE_URL: `postgres://civic_receiver@${this.#hosts}/civic?sslmode=disable`,
      HOST: this.#listening,
      REQUIRE_STANDBY: this.#requireStandby ? '1' : '0',
      ...(dataDir !== undefined && { DATA_DIR: dataDir }),
    }
    const receiver = await startReceiver(env, this.#command)
    this.receivers.push(receiver)
    this.#useReceivers()
    this.#started.push(receiver)
    return receiver
  }

  /** Stops a receiver with SIGSTOP. How long it takes for an answer says nothing from now on. */
  stopReceiver(receiver: Receiver): void {
    this.#stopped.add(receiver)
    receiver.process.kill('SIGSTOP')
  }

  async killReceiver(receiver: Receiver): Promise<void> {
    this.receivers.splice(this.receivers.indexOf(receiver), 1)
    this.#useReceivers()
    await receiver.stop('SIGKILL')
  }

  #useReceivers(): void {
    this.#address.use(this.receivers.map(({ url }) => url))
  }

  get url(): string {
    return this.#address.url
  }

  load(): Load {
    const { ledger, dice } = this
    const slugs = dice.oneIn(2) ? ['heron-ridge'] : Array.from({ length: 12 }, (_, n) => `heron-ridge-${n}`)
    return startLoad({
      ledger,
      random: dice,
      senders,
      slugs,
      urls: [this.url],
      overwriteOneIn: dice.of([3, 10]),
      longestFiller: dice.of([100, 4_000]),
    })
  }

  get storedCount(): number {
    return this.ledger.sent.reduce((sum, { attempts }) => sum + attempts.filter(isAnswered).length, 0)
  }

  /** Waits until so many more records have been stored, after the fault has ended. `after` names the fault. */
  async storesAgain(count: number, after: string): Promise<void> {
    const before = this.storedCount
    await this.eventually(`nothing is stored ${after}`, () => this.storedCount >= before + count)
  }

  /** Waits until this receiver has stored a record. */
  async storesAt(url: string): Promise<void> {
    await this.eventually('a receiver stores nothing', async () =>
      isStored(await this.ledger.post(url, this.ledger.newScenario('heron-ridge'))),
    )
  }

  /** Notes the longest time since the fault in which nothing was acknowledged. */
  silenceSince(fault: number): void {
    this.#times.silence(this.ledger, fault)
  }

  async eventually(otherwise: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
    const until = performance.now() + recoveryMs
    while (!(await isTrue())) {
      if (performance.now() > until) {
        this.tally.wrongly(otherwise)
        throw new Ended(otherwise)
      }
      await sleep(20)
    }
  }

  /** Promotes the standby after the primary is gone. */
  async promote(): Promise<void> {
    await this.standby.promote()
    this.primary = this.standby
  }

  /** Makes a new standby of the primary in the place of the other server. */
  async attachNew(): Promise<void> {
    const place = [...this.#servers].find((server) => server !== this.primary) as Server
    await place.discard()
    this.#servers.delete(place)
    this.standby = await attachStandby(this.primary, { port: place.port })
    this.#servers.add(this.standby)
    // A commit that began before the names were set waited for no standby. This one comes after it and waits.
    await this.primary.sql(`SELECT pg_logical_emit_message(true, 'civic', '')`)
  }

  /** Makes another standby of the primary, which no receiver knows. */
  async attachBeside(): Promise<void> {
    this.standby = await attachStandby(this.primary)
    this.#servers.add(this.standby)
  }

  /** Waits until all receivers are ready, sends again what was never acknowledged, and compares the database with all answers. */
  async judge(): Promise<void> {
    await this.eventually('a receiver is not ready again', async () => {
      const answers = await Promise.all(this.receivers.map(({ url }) => fetch(`${url}/ready`)))
      return answers.every(({ ok }) => ok)
    })
    await this.ledger.sendUnacknowledged(this.url)
    this.ledger.leaveOpen()
    this.tally.add(judge(await readDatabase(this.primary), this.ledger))
    this.tally.cases++
  }

  async close(): Promise<void> {
    this.ledger.close()
    this.#address.close()
    await Promise.all(this.receivers.map((receiver) => receiver.stop('SIGKILL')))
    const running = this.#started.filter((receiver) => !this.#stopped.has(receiver))
    const inTime = this.#times.answers(
      this.ledger,
      running.map(({ output }) => output()),
    )
    if (!inTime) this.tally.wrongly('a receiver took far longer than 10 s for an answer')
    for (const log of [
      ...[...this.#servers].map(({ log }) => log),
      ...this.#started.map(({ output }) => output()),
    ])
      if (tells.test(log)) this.tally.wrongly('a log has contents or a participant in it')
    await Promise.all([...this.#servers].map((server) => server.discard()))
  }
}

/** The number of commits that wait for a standby. */
export async function countWaiting(primary: Server): Promise<number> {
  const [row] = await primary.sql(
    `SELECT count(*)::int AS count FROM pg_stat_activity WHERE wait_event = 'SyncRep'`,
  )
  return Number(row?.count)
}

/** Matches contents, as text and as the engine prints bytes, and a part of every participant's name. */
const tells = new RegExp(`${secret}|${Buffer.from(secret).toString('hex')}|-5sb-8hm-`)

const isAnswered = ({ answer }: Attempt): boolean => isStored(answer)
