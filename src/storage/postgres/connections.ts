/**
 * Keeps a small, fixed number of connections to the one server that may be written to, among several hosts.
 *
 * A statement that waits for a standby keeps its process in the server even when its client is gone. So a connection whose
 * statement does not come back is kept and not replaced, and new requests are refused meanwhile (`trouble`). Every half second
 * this module looks at all hosts. Only if another server was promoted, or the process of the statement has ended or is idle, is
 * the connection destroyed, and the waiting requests use another one.
 *
 * A process is idle when the network was cut: the statement or its answer is still on the way, and may be for as long again as the
 * cut was. The process is then ended, because it would wait for hours, and the server has room for few.
 */
import type { Log } from '../../log.ts'
import { Connection, type Statement } from './connection.ts'
import { unfit } from './facts.ts'
import { Broken, codeOf } from './fault.ts'
import type { Timeline } from './timeline.ts'
import type { DatabaseTarget, Host } from './url.ts'

const most = 4
/** A commit that takes longer than this probably waits for a standby, or a server, that is gone. */
const patienceMs = 2_000
const lookMs = 500

type Borrower = { readonly take: (connection: Connection) => void; readonly fail: (error: unknown) => void }

export class Connections {
  readonly #target: DatabaseTarget
  readonly #timeline: Timeline
  readonly #log: Log
  readonly #open = new Set<Connection>()
  #opening = 0
  readonly #idle: Connection[] = []
  readonly #waiting: Borrower[] = []
  readonly #look: NodeJS.Timeout
  #looking: Promise<void> | undefined
  #failingSince: number | undefined
  #reasons: readonly string[] = []
  #isClosed = false

  constructor(target: DatabaseTarget, timeline: Timeline, log: Log) {
    this.#target = target
    this.#timeline = timeline
    this.#log = log
    this.#look = setInterval(() => this.#tend(), lookMs)
    this.#look.unref()
  }

  /** Why nothing should be sent now, in words for an operator; undefined when statements can be sent. */
  get trouble(): string | undefined {
    const now = performance.now()
    const isAlone = ![...this.#open].some(({ isBroken }) => !isBroken)
    if (isAlone && this.#failingSince !== undefined && now - this.#failingSince > patienceMs)
      return `no server can be written to: ${this.#reasons.join('; ')}`
    if (this.#stuck().length > 0)
      return 'a commit has been waiting for more than 2 s: the synchronous standby or the primary does not answer'
    return undefined
  }

  /** Lends a connection for the time of `use`. Rejects with `Broken` when no connection was free before `deadline`. */
  async with<T>(deadline: number, use: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#take(deadline)
    try {
      return await use(connection)
    } finally {
      this.#giveBack(connection)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#look)
    for (const { fail } of this.#waiting.splice(0)) fail(new Broken())
    for (const connection of this.#open) connection.destroy()
    await this.#looking
  }

  #take(deadline: number): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(new Broken())
    const idle = this.#nextIdle()
    if (idle) return Promise.resolve(idle)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => settle(() => reject(new Broken())),
        Math.max(0, deadline - performance.now()),
      )
      const settle = (how: () => void): void => {
        clearTimeout(timer)
        const at = this.#waiting.indexOf(waiting)
        if (at !== -1) this.#waiting.splice(at, 1)
        how()
      }
      const waiting: Borrower = {
        take: (connection) => settle(() => resolve(connection)),
        fail: (error) => settle(() => reject(error)),
      }
      this.#waiting.push(waiting)
      this.#fill()
    })
  }

  #nextIdle(): Connection | undefined {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (!idle.isBroken) return idle
      this.#open.delete(idle)
    }
    return undefined
  }

  #giveBack(connection: Connection): void {
    if (connection.isBroken || this.#isClosed) {
      connection.destroy()
      this.#open.delete(connection)
      this.#fill()
    } else if (this.#waiting[0]) this.#waiting[0].take(connection)
    else this.#idle.push(connection)
  }

  /** Opens as many connections as requests wait for, up to the fixed number. After a failure the next look tries again. */
  #fill(): void {
    while (
      !this.#isClosed &&
      this.#failingSince === undefined &&
      this.#waiting.length > this.#opening &&
      this.#open.size + this.#opening < most
    )
      void this.#openOne()
  }

  async #openOne(): Promise<void> {
    this.#opening++
    const connection = await this.#connect()
    this.#opening--
    if (connection) this.#adopt(connection)
  }

  #adopt(connection: Connection): void {
    // judged once more, because a probe was asking questions meanwhile
    if (typeof this.#unlessOld(connection) !== 'string') {
      this.#open.add(connection)
      this.#giveBack(connection)
    }
    this.#fill()
  }

  /**
   * Connects to the writable host with the highest timeline; among equals, to the first in the list. All hosts are asked,
   * because an old primary that comes back looks as fit as the server that was promoted in its place.
   */
  async #connect(): Promise<Connection | undefined> {
    const answers = await Promise.all(this.#target.hosts.map((host) => this.#tryHost(host)))
    // judged when all have answered, because another connection may have shown a promotion meanwhile
    const found = answers.map((answer) => this.#unlessOld(answer))
    const fit = found.filter((one) => typeof one !== 'string')
    const highest = Math.max(...fit.map(({ facts }) => facts.timeline))
    const best = fit.find(({ facts }) => facts.timeline === highest)
    for (const other of fit) if (other !== best) other.destroy()
    if (!best) {
      this.#fail(found.map((reason, at) => `host ${at + 1}: ${reason}`))
      return undefined
    }
    if (this.#failingSince !== undefined)
      this.#log.info({ host: found.indexOf(best) + 1 }, 'the database takes records again')
    this.#failingSince = undefined
    this.#timeline.seen(best.facts)
    this.#dropBelow(highest)
    return best
  }

  #fail(reasons: readonly string[]): void {
    if (this.#failingSince === undefined)
      this.#log.error({ reasons }, 'no server of the database can be written to')
    this.#failingSince ??= performance.now()
    this.#reasons = reasons
  }

  async #tryHost(host: Host): Promise<Connection | string> {
    try {
      const connection = await Connection.open(this.#target, host)
      const reason = unfit(connection.facts)
      if (reason === undefined) return connection
      connection.destroy()
      return reason
    } catch (error) {
      return `no connection (${codeOf(error)})`
    }
  }

  #unlessOld(answer: Connection | string): Connection | string {
    if (typeof answer === 'string') return answer
    const reason = this.#timeline.refusal(answer.facts)
    if (reason === undefined) return answer
    answer.destroy()
    return reason
  }

  /** Destroys connections to servers with a lower timeline: after a promotion nothing may be stored there any more. */
  #dropBelow(timeline: number): void {
    for (const connection of this.#open) {
      if (connection.facts.timeline < timeline) this.#drop(connection)
    }
  }

  #drop(connection: Connection): void {
    connection.destroy()
    this.#open.delete(connection)
  }

  #stuck(): Connection[] {
    const now = performance.now()
    return [...this.#open].filter(({ since }) => since !== undefined && now - since > patienceMs)
  }

  #tend(): void {
    if (this.#looking || this.#isClosed) return
    if (this.#failingSince === undefined && this.#stuck().length === 0) return
    this.#looking = this.#examine().finally(() => {
      this.#looking = undefined
    })
  }

  async #examine(): Promise<void> {
    const probe = await this.#connect()
    if (!probe) return
    // without a limit nobody would look again when the network is cut at this very moment
    const timer = setTimeout(() => probe.destroy(), patienceMs)
    for (const stuck of this.#stuck()) {
      const state = await stateOf(probe, stuck)
      if (state === 'gone' || state === 'idle') this.#drop(stuck)
      if (state === 'idle') await endIdle(probe, stuck)
    }
    clearTimeout(timer)
    if (this.#open.size + this.#opening < most && !probe.isBroken) this.#adopt(probe)
    else probe.destroy()
    this.#fill()
  }
}

const findBackend: Statement = {
  text: 'SELECT state FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2::timestamptz',
}

/** Asks over a new connection what the server's process of another connection does. Undefined: this cannot be known. */
async function stateOf(
  seenFrom: Connection,
  { facts }: Pick<Connection, 'facts'>,
): Promise<string | undefined> {
  if (seenFrom.facts.timeline > facts.timeline) return 'gone'
  try {
    const [row] = await seenFrom.run(findBackend, [facts.backend.pid, facts.backend.began])
    return row === undefined ? 'gone' : String(row.state)
  } catch {
    return undefined
  }
}

/** Whether the process has ended. Then no statement on its connection can take effect any more. */
export async function isGone(seenFrom: Connection, other: Pick<Connection, 'facts'>): Promise<boolean> {
  return (await stateOf(seenFrom, other)) === 'gone'
}

const endBackend: Statement = {
  text: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = $1 AND backend_start = $2::timestamptz AND state = 'idle'`,
}

/**
 * Ends the idle process of a connection that was destroyed. If its statement arrives at this very moment, it may be stored, but nobody
 * reads its answer and takes it for stored.
 */
async function endIdle(seenFrom: Connection, { facts }: Pick<Connection, 'facts'>): Promise<void> {
  // If it does not succeed, the process stays until the server notices that nobody is there.
  await seenFrom.run(endBackend, [facts.backend.pid, facts.backend.began]).catch(() => {})
}
