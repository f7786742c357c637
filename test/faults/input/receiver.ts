/** The receiver of the part `input`: a process whose memory, sockets and log are checked. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { receiverCommand } from '../../bundle.ts'
import { token } from '../../receiver.ts'
import { maxBody } from './settings.ts'

export type InputReceiver = {
  readonly child: ChildProcess
  readonly port: number
  /** The number of sockets that were open before the first request. */
  readonly sockets: number
  /** Lines of its output that should not be there. */
  readonly alarms: string[]
}

/** Starts the receiver. Its output is checked line by line and not kept, because it has a million lines. */
export async function start(data: string): Promise<InputReceiver> {
  const [program, ...args] = receiverCommand
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      NODE_TOKEN: token,
      PORT: '0',
      MIN_FREE_BYTES: '0',
      DATA_DIR: data,
      MAX_BODY_BYTES: String(maxBody),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const alarms: string[] = []
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the receiver ended (${code})`)))
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ''
      stream.on('data', (chunk) => {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() as string
        for (const line of lines) {
          const found = /"port":(\d+),"msg":"listening"/.exec(line)
          if (found) resolve(Number(found[1]))
          if (!line.startsWith('{"level":30,') || line.includes(token.slice(0, 20)))
            alarms.push(line.slice(0, 300))
        }
      })
    }
  })
  return { child, port, alarms, sockets: socketsOf(child) }
}

export function socketsOf({ pid }: ChildProcess): number {
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`)
  return descriptors.filter((path) => {
    try {
      return readlinkSync(path).startsWith('socket:')
    } catch {
      // The descriptor was closed after it was listed.
      return false
    }
  }).length
}

export function residentMb({ pid }: ChildProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}
