/**
 * A connection, which sends one statement at a time. It never cancels a statement, because a cancelled commit looks stored but
 * is not on the standby. A caller that waits too long stops waiting by a timer of its own, and the statement goes on.
 */
import { Socket } from 'node:net'
import type pg from 'pg'
import { clientOf } from './client.ts'
import { type Facts, factsOf } from './facts.ts'
import { Broken, ClocksApart, NotKnown } from './fault.ts'
import type { DatabaseTarget, Host } from './url.ts'

const connectMs = 2_000
/** After this time the difference of the two clocks is measured again. */
const clockMs = 30_000
/** The trigger in the database has the same limit, and refuses a receiver whose clock is further ahead. */
const mostApartMs = 5_000

export type Statement = { readonly name?: string; readonly text: string }
export type Row = Readonly<Record<string, unknown>>

export class Connection {
  readonly facts: Facts
  readonly #client: pg.Client
  readonly #socket: Socket
  /** The clock of the database, and the monotonic clock of this machine when the answer had come. */
  #clock: { readonly engine: number; readonly here: number }
  #isBroken = false
  #isWarned = false
  #since: number | undefined

  private constructor(client: pg.Client, socket: Socket, facts: Facts) {
    this.#client = client
    this.#socket = socket
    this.facts = facts
    this.#clock = { engine: facts.clock, here: performance.now() }
    client.on('notice', () => {
      // `client_min_messages` lets only warnings through; the text is not compared, because the server translates it
      this.#isWarned = true
    })
    client.on('error', () => this.destroy())
    client.on('end', () => this.destroy())
  }

  /** Connects within two seconds and asks the server for its facts. The caller judges whether the server is fit. */
  static async open(target: DatabaseTarget, host: Host): Promise<Connection> {
    const socket = new Socket()
    const client = clientOf(target, host, socket)
    client.on('error', () => {})
    const timer = setTimeout(() => socket.destroy(), connectMs)
    try {
      await Promise.race([client.connect(), destroyed(socket)])
      return new Connection(client, socket, await Promise.race([factsOf(client), destroyed(socket)]))
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  get isBroken(): boolean {
    return this.#isBroken
  }

  /** When the statement under way was sent; undefined when there is none. */
  get since(): number | undefined {
    return this.#since
  }

  /** Sends one statement. Throws the error of the server, `NotKnown` after a warning, or `Broken` when the connection ends. */
  async run(statement: Statement, values: readonly unknown[] = []): Promise<readonly Row[]> {
    if (this.#isBroken) throw new Broken()
    if (this.#since !== undefined) throw new Error('a statement is under way on this connection')
    this.#isWarned = false
    this.#since = performance.now()
    try {
      const { rows } = await this.#client.query({ ...statement, values: [...values] })
      if (this.#isWarned) throw new NotKnown()
      return rows
    } catch (error) {
      if (this.#isBroken && !(error instanceof NotKnown)) throw new Broken()
      throw error
    } finally {
      this.#since = undefined
    }
  }

  /**
   * Runs the statements of `use` as one transaction, which `begin` starts. When its end fails, it is not known whether the transaction is
   * still open, so the connection is not used again.
   */
  async inTransaction<T>(begin: string, use: () => Promise<T>): Promise<T> {
    let result: T
    try {
      await this.run({ text: begin })
      result = await use()
    } catch (error) {
      await this.#end('ROLLBACK').catch(() => {})
      throw error
    }
    await this.#end('COMMIT')
    return result
  }

  async #end(text: string): Promise<void> {
    try {
      await this.run({ text })
    } catch (error) {
      this.destroy()
      throw error
    }
  }

  /** Throws `ClocksApart`. Measures again when the last measurement is old, or shows a difference that may have been corrected. */
  async requireClock(): Promise<void> {
    if (performance.now() - this.#clock.here < clockMs && !this.#areClocksApart()) return
    const [row] = await this.run(readClock)
    this.#clock = { engine: Number(row?.clock), here: performance.now() }
    if (this.#areClocksApart()) throw new ClocksApart()
  }

  #areClocksApart(): boolean {
    return Math.abs(Date.now() - this.engineTime(performance.now()).getTime()) > mostApartMs
  }

  /** The clock of the database when the monotonic clock here shows `at`. The result may be too early, but never too late. */
  engineTime(at: number): Date {
    return new Date(Math.floor(this.#clock.engine + at - this.#clock.here))
  }

  /** Ends the connection at once. A statement under way fails here as `Broken`, and may still take effect in the server. */
  destroy(): void {
    if (this.#isBroken) return
    this.#isBroken = true
    // not awaited: the library waits for the server to close, and a stopped server does not
    this.#client.end().catch(() => {})
    this.#socket.destroySoon()
    setTimeout(() => this.#socket.destroy(), 100).unref()
    if (this.#since !== undefined) this.#socket.destroy()
  }
}

const readClock: Statement = { text: 'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS clock' }

function destroyed(socket: Socket): Promise<never> {
  return new Promise((_resolve, reject) => socket.once('close', () => reject(new Broken())))
}
