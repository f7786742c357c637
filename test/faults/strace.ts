/** Attaches strace to a running receiver. strace makes the n-th call of a kind fail, stop or kill, and lists the calls. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Receiver, startReceiver } from '../receiver.ts'

// Each of the many receivers adds a listener for the end of this process.
process.setMaxListeners(0)

/** Starts a receiver with one thread for all asynchronous work on the disk, because strace counts calls per thread. */
export function startOneThreaded(env: Record<string, string>): Promise<Receiver> {
  return startReceiver({ ...env, UV_THREADPOOL_SIZE: '1' })
}

export type Trace = {
  /** Detaches from the process and gives the lines that strace wrote. */
  end(): Promise<string[]>
}

/** Attaches strace, which writes to `file`. The promise resolves when every thread is traced. */
export async function attach(pid: number, file: string, args: readonly string[]): Promise<Trace> {
  rmSync(file, { force: true })
  const child = spawn('strace', ['-f', '-y', '-s', '0', '-o', file, ...args, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await attached(child)
  return {
    async end() {
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      return readFileSync(file, 'latin1').split('\n')
    },
  }
}

async function attached(child: ChildProcess): Promise<void> {
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk
      if (/Process \d+ attached/.test(said)) resolve()
    })
    child.once('exit', () => reject(new Error(`strace ended: ${said}`)))
  })
}

/** Waits for the end of the receiver; false when it has not ended after `withinMs`. */
export async function hasEnded({ process: child }: Receiver, withinMs: number): Promise<boolean> {
  const isGone = (): boolean => child.exitCode !== null || child.signalCode !== null
  if (!isGone()) await Promise.race([once(child, 'exit'), sleep(withinMs)])
  return isGone()
}

/** Waits until a line that strace wrote matches; false when `withinMs` have passed without one. */
export async function hasWritten(file: string, line: RegExp, withinMs: number): Promise<boolean> {
  for (const until = performance.now() + withinMs; performance.now() < until; await sleep(20)) {
    if (line.test(readFileSync(file, 'latin1'))) return true
  }
  return false
}

/** How often each call was made by the thread that made it most, which is the range of `n` for "every n-th". */
export function countCalls(lines: readonly string[]): Map<string, number> {
  const byThread = new Map<string, number>()
  for (const line of lines) {
    const [, thread, call] = /^(\d+) +([a-z0-9_]+)\(/.exec(line) ?? []
    if (call) byThread.set(`${thread} ${call}`, (byThread.get(`${thread} ${call}`) ?? 0) + 1)
  }
  const most = new Map<string, number>()
  for (const [key, count] of byThread) {
    const call = key.slice(key.indexOf(' ') + 1)
    most.set(call, Math.max(most.get(call) ?? 0, count))
  }
  return most
}
