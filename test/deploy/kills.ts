/**
 * Runs a script of deploy/ until it, or a program that it started, has made its n-th system call that changes something. Then all of these
 * processes are killed at once. strace stops the caller after each such call and goes on only when told to, so the call after the n-th is
 * never made.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Host } from './host.ts'

/** All calls by which the scripts and their tools change names, modes, the disk or a process, or start another program. */
const calls =
  'rename,renameat,renameat2,symlinkat,linkat,unlinkat,mkdir,mkdirat,fchmodat,utimensat,syncfs,fsync,flock,kill,execve'

/** Programs that only read or wait, a varying number of times. `node` is the release under test, on a scratch directory. */
const lookers = new Set(['sleep', 'timeout', 'head', 'tr', 'cat', 'grep', 'node'])

export type Killed = {
  /** The call at which the script was killed. Undefined when the script ended before; `calls` is then the number of calls. */
  readonly at: string | undefined
  readonly calls: number
  readonly output: string
}

export async function runUntilCall(
  host: Host,
  script: string,
  args: readonly string[],
  n: number,
): Promise<Killed> {
  const strace = [
    '-f',
    '-qq',
    '-s',
    '40',
    '-o',
    '|cat >&3',
    '-e',
    `trace=${calls},exit_group`,
    '-e',
    `inject=${calls}:signal=STOP`,
  ]
  const child = spawn('strace', [...strace, resolve('deploy', script), ...args], {
    env: host.env as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const last = new Map<number, string>()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk))
  let counted = 0
  let at: string | undefined
  const lines = createInterface({ input: child.stdio[3] as NodeJS.ReadableStream })
  lines.on('line', (line) => {
    const [, thread, text] = /^(\d+) +(.*)$/.exec(line) ?? []
    const pid = Number(thread)
    if (!text || at !== undefined) return
    if (!text.startsWith('---')) last.set(pid, text)
    if (!text.startsWith('--- stopped by SIGSTOP')) return
    const call = last.get(pid) ?? ''
    // A failed call has changed nothing, for example when the shell tries every directory of the PATH.
    if (!call.includes(' = -1 ') && !isLooker(pid) && ++counted === n) {
      at = call
      const others = tracedBy(child.pid as number)
      // The group is killed first, so that the script does not notice the end of one of its programs.
      end(-(child.pid as number), 'SIGKILL')
      for (const other of others) end(other, 'SIGKILL')
    } else end(pid, 'SIGCONT')
  })
  await Promise.all([once(child, 'close'), once(lines, 'close')])
  return { at, calls: counted, output }
}

/** Every process that this strace traces, also one in a session of its own. */
function tracedBy(strace: number): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return all.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/status`, 'latin1').includes(`TracerPid:\t${strace}\n`)
    } catch {
      return false
    }
  })
}

function isLooker(pid: number): boolean {
  try {
    return lookers.has(basename(readlinkSync(`/proc/${pid}/exe`)))
  } catch {
    return true
  }
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // The process has ended by itself.
  }
}
