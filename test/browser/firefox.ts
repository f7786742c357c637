/**
 * Drives Debian's Firefox over Marionette, the protocol of every Firefox: JSON in length-prefixed messages over a socket of this machine. (The
 * driver of the other tests needs functions that the long-term release of Firefox does not have.)
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { buildPage } from '../../scripts/page/build.ts'

const program = '/usr/bin/firefox-esr'
export const hasFirefox = existsSync(program)

/** The longest wait, enough for a busy machine. */
const patienceMs = 120_000
const portFile = 'MarionetteActivePort'

/** With `marionette.port` 0 Firefox chooses a free port and writes it into the profile. The other setting isolates files, as Firefox does by default. */
const preferences = {
  'marionette.port': 0,
  'security.fileuri.strict_origin_policy': true,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
}

type FirefoxReply = readonly [
  type: 1,
  id: number,
  error: { readonly message: string } | null,
  result: unknown,
]

export class Firefox implements AsyncDisposable {
  readonly #directory: string
  readonly #process: ChildProcess
  readonly #socket: Socket
  readonly #waiting = new Map<number, (reply: FirefoxReply) => void>()
  #received = Buffer.alloc(0)
  #asked = 0

  private constructor(directory: string, process: ChildProcess, socket: Socket) {
    this.#directory = directory
    this.#process = process
    this.#socket = socket
    socket.on('data', (bytes) => this.#take(bytes))
  }

  /** Starts Firefox and opens the page by its `file://` address. */
  static async start(): Promise<Firefox> {
    const directory = mkdtempSync(join(tmpdir(), 'auditor-firefox-'))
    const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${value});\n`)
    writeFileSync(join(directory, 'user.js'), lines.join(''))
    const { html } = await buildPage({ directory: process.cwd(), version: 'test' })
    writeFileSync(join(directory, 'auditor.html'), html)
    const args = ['--headless', '--no-remote', '--marionette', '--profile', directory]
    const child = spawn(program, args, { stdio: 'ignore', env: { ...process.env, HOME: directory } })
    const socket = connect(await portIn(directory), '127.0.0.1')
    const firefox = new Firefox(directory, child, socket)
    await once(socket, 'connect')
    await firefox.#ask('WebDriver:NewSession', { strictFileInteractability: false })
    await firefox.#ask('WebDriver:SetTimeouts', { script: patienceMs, pageLoad: patienceMs })
    await firefox.open()
    return firefox
  }

  async open(): Promise<void> {
    const url = pathToFileURL(join(this.#directory, 'auditor.html')).href
    await this.#ask('WebDriver:Navigate', { url: 'about:blank' })
    await this.#ask('WebDriver:Navigate', { url })
  }

  /** Runs a function in the page, and gives its result. */
  async run<T>(work: (...args: string[]) => T | Promise<T>, ...args: readonly string[]): Promise<T> {
    const script = `
      const __name = (named) => named
      const [args, done] = arguments
      Promise.resolve((${work})(...args)).then((value) => done({ value }), (error) => done({ error: String(error) }))`
    const answer = await this.#ask('WebDriver:ExecuteAsyncScript', {
      script,
      args: [args],
      newSandbox: false,
    })
    const { value, error } = (answer as { value: { value: T; error?: string } }).value
    if (error !== undefined) throw new Error(error)
    return value
  }

  /** Waits until an element of this selector contains this text, and gives all of its text. */
  async text(selector: string, holding: string): Promise<string> {
    return this.run(
      (wanted, part) =>
        new Promise<string>((found) => {
          const look = (): void => {
            const texts = [...document.querySelectorAll<HTMLElement>(wanted as string)].map(
              (each) => each.innerText,
            )
            const text = texts.find((each) => each.includes(part as string))
            if (text === undefined) requestAnimationFrame(look)
            else found(text)
          }
          look()
        }),
      selector,
      holding,
    )
  }

  async click(selector: string, holding: string): Promise<void> {
    await this.text(selector, holding)
    await this.run(
      (wanted, part) => {
        const all = [...document.querySelectorAll<HTMLElement>(wanted as string)]
        all.find((each) => each.innerText.includes(part as string))?.click()
      },
      selector,
      holding,
    )
  }

  /** Fills in a field or chooses from a list, as a person would. */
  async fill(selector: string, value: string): Promise<void> {
    await this.run(
      (wanted, text) => {
        const field = document.querySelector(wanted as string) as HTMLInputElement
        field.value = text as string
        field.dispatchEvent(new Event('input', { bubbles: true }))
      },
      selector,
      value,
    )
  }

  async choose(selector: string, ...paths: readonly string[]): Promise<void> {
    const found = await this.#ask('WebDriver:FindElement', { using: 'css selector', value: selector })
    const id = Object.values((found as { value: Record<string, string> }).value)[0]
    await this.#ask('WebDriver:ElementSendKeys', { id, text: paths.join('\n') })
  }

  /** Prints the page to a PDF. */
  async print(): Promise<Buffer> {
    const { value } = (await this.#ask('WebDriver:Print', {})) as { value: string }
    return Buffer.from(value, 'base64')
  }

  #ask(command: string, parameters: object): Promise<unknown> {
    const id = ++this.#asked
    const message = JSON.stringify([0, id, command, parameters])
    this.#socket.write(`${Buffer.byteLength(message)}:${message}`)
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ([, , error, result]) =>
        error ? reject(new Error(`${command}: ${error.message}`)) : resolve(result),
      )
    })
  }

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    for (;;) {
      const colon = this.#received.indexOf(':')
      const end = colon + 1 + Number(this.#received.toString('latin1', 0, colon))
      if (colon === -1 || this.#received.length < end) return
      const reply = JSON.parse(this.#received.toString('utf8', colon + 1, end)) as FirefoxReply
      this.#received = this.#received.subarray(end)
      // The first message only names the protocol and is no reply.
      if (Array.isArray(reply)) this.#waiting.get(reply[1])?.(reply)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#socket.destroy()
    this.#process.kill('SIGKILL')
    await ended
    rmSync(this.#directory, { recursive: true, maxRetries: 10 })
  }
}

/** Waits until Firefox listens and has written the number of its port. */
async function portIn(directory: string): Promise<number> {
  const path = join(directory, portFile)
  const port = (): number => (existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0)
  const watching = watch(directory, { signal: AbortSignal.timeout(patienceMs) })
  try {
    while (port() === 0) await once(watching, 'change')
    return port()
  } finally {
    watching.close()
  }
}
