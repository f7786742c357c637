/** Starts a receiver with a standard output that the test chooses: a file, or a FIFO that nobody reads. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { boundPort } from './bound.ts'
import { receiverCommand } from './bundle.ts'
import { endTogether } from './guard.ts'
import { scratchDir, token } from './receiver.ts'

/** A FIFO. `here` reads and writes without blocking. `writer`, for the receiver, blocks as a pipe of a shell does. */
export function fifo(): { readonly here: number; readonly writer: number } {
  const path = join(scratchDir(), 'fifo')
  execFileSync('mkfifo', [path])
  const here = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  return { here, writer: openSync(path, 'w') }
}

/** A FIFO that is full, so that already the first line finds no room. */
export function filledFifo(): number {
  const { here, writer } = fifo()
  const chunk = Buffer.alloc(4_096, '\n')
  try {
    for (;;) writeSync(here, chunk)
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
  }
  return writer
}

export type MutedReceiver = {
  readonly url: string
  readonly dataDir: string
  readonly child: ChildProcess
  readonly ended: Promise<number | string>
}

/** Starts a receiver that writes its log to `output`. The test hands it a socket, because nobody can read its port from the log. */
export async function startMuted(
  output: number | 'closed',
  { preload = '', ...settings }: { preload?: string; METRICS?: string } = {},
): Promise<MutedReceiver> {
  const dataDir = scratchDir()
  const held = boundPort()
  const [program, ...args] = receiverCommand
  const importing = preload === '' ? '' : `--import 'data:text/javascript,${encodeURIComponent(preload)}'`
  const closing = output === 'closed' ? '>&-' : ''
  const command = `LISTEN_PID=$$ exec ${program} ${importing} ${args.join(' ')} ${closing}`
  const child = spawn('sh', ['-c', command], {
    env: {
      PATH: process.env.PATH,
      DATA_DIR: dataDir,
      NODE_TOKEN: token,
      MIN_FREE_BYTES: '0',
      LISTEN_FDS: '1',
      ...settings,
    },
    stdio: ['ignore', output === 'closed' ? 'ignore' : output, 'inherit', held.fd],
  })
  endTogether(child)
  const ended = once(child, 'exit').then(([code, signal]) => code ?? signal)
  held.close()
  const url = `http://127.0.0.1:${held.port}`
  while ((await fetch(`${url}/health`).catch(() => undefined))?.status !== 200) await delay(20)
  return { url, dataDir, child, ended }
}
