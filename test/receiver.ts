/** Starts a real receiver in a child process for tests, gives its port and output, and ends it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { receiverCommand } from './bundle.ts'
import { endTogether } from './guard.ts'

export { scn01, vs01 } from './envelopes.ts'

export const token = 'test-token-of-the-suite-'.padEnd(40, 't')
export const wrongToken = 'wrong-token-'.padEnd(40, 'w')

export type Receiver = {
  readonly url: string
  readonly dataDir: string
  readonly process: ChildProcess
  /** The standard output and standard error so far. */
  output(): string
  post(envelope: unknown, headers?: Record<string, string>): Promise<Response>
  /** Ends the receiver with a signal, waits for its end and its whole output, and gives the exit code or the name of the signal. */
  stop(signal?: NodeJS.Signals): Promise<number | string>
}

const scratch: string[] = []
process.once('exit', () => scratch.forEach(remove))

/** Makes a new directory that is removed when this process ends. */
export function scratchDir(): string {
  const directory = mkdtempSync(join(tmpdir(), 'civic-'))
  scratch.push(directory)
  return directory
}

function remove(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true })
  } catch {
    // A receiver that is being killed may still write into the directory.
  }
}

/** Starts a receiver and waits until it listens. `command` replaces the one that starts it, for example to trace it. */
export async function startReceiver(
  env: Record<string, string> = {},
  command?: readonly string[],
): Promise<Receiver> {
  const dataDir = env.DATA_DIR ?? scratchDir()
  const settings = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NODE_TOKEN: token,
    PORT: '0',
    MIN_FREE_BYTES: '0',
  }
  const [program, ...args] = (command ?? receiverCommand) as [string, ...string[]]
  const child = spawn(program, args, {
    env: { ...settings, DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endTogether(child)
  // The output may become long, so it is searched only until the line is found.
  let output = ''
  const keep = (chunk: Buffer): void => {
    output += chunk
  }
  const port = await new Promise<number>((resolve, reject) => {
    const look = (): void => {
      const found = /"port":(\d+),"msg":"listening"/.exec(output)
      if (!found) return
      for (const stream of [child.stdout, child.stderr]) stream.off('data', look)
      resolve(Number(found[1]))
    }
    for (const stream of [child.stdout, child.stderr]) stream.on('data', keep).on('data', look)
    child.once('exit', (code, signal) =>
      reject(new Error(`the receiver ended (${code ?? signal}): ${output}`)),
    )
  })
  // A test that fails leaves the receiver running. It must neither keep the test process alive nor outlive it.
  const pipes = [child.stdout, child.stderr] as unknown as readonly { ref(): void; unref(): void }[]
  child.unref()
  for (const pipe of pipes) pipe.unref()
  const host = env.HOST ?? '127.0.0.1'
  const url = `http://${isIPv6(host) ? `[${host}]` : host}:${port}`
  return {
    url,
    dataDir,
    process: child,
    output: () => output,
    post: (envelope, headers = {}) =>
      fetch(`${url}/receive`, {
        method: 'POST',
        headers: { 'x-node-token': token, ...headers },
        body: typeof envelope === 'string' ? envelope : JSON.stringify(envelope),
      }),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.ref()
        for (const pipe of pipes) pipe.ref()
        // Its last lines may come after its exit. A command around it may leave processes that keep the pipes open.
        const ended = once(child, command ? 'exit' : 'close')
        child.kill(signal)
        await ended
      }
      return child.exitCode ?? (child.signalCode as string)
    },
  }
}
