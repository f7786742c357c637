/**
 * One address in front of several receivers. Each new connection goes to the next receiver that accepts it.
 *
 * The address has a process of its own. The senders of all scenes keep that of the suite so busy that a turn of its event loop takes 0.1 s, and
 * a server accepts one connection in each turn: the last of 64 senders waited 20 s before a receiver heard of it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { endTogether } from '../../guard.ts'

export class Address {
  readonly url: string
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, port: number) {
    this.#process = process
    this.url = `http://127.0.0.1:${port}`
  }

  static async open(): Promise<Address> {
    const child = fork(new URL('./address-process.ts', import.meta.url), { execArgv: ['--import', 'tsx'] })
    endTogether(child)
    const [port] = await once(child, 'message')
    return new Address(child, port)
  }

  /** Sets the receivers for new connections. */
  use(urls: readonly string[]): void {
    this.#process.send(urls)
  }

  /** Ends all connections. */
  close(): void {
    this.#process.kill('SIGKILL')
  }
}
