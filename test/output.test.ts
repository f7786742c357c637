/** Standard output that takes nothing: a full disk, a reader that stands still, a reader that is gone. It holds nothing up. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { boundPort } from './bound.ts'
import { recordsPath } from './disk.ts'
import { scn01, scratchDir, token } from './receiver.ts'

/** Longer than the 20 s after which a receiver gives up what is in flight, so that what hangs is told from what is slow. */
const patience = { timeout: 60_000 }

/** `here` reads and writes without waiting; `writer`, for the receiver, waits as a pipe of a shell does. */
function fifo(): { readonly here: number; readonly writer: number } {
  const path = join(scratchDir(), 'fifo')
  execFileSync('mkfifo', [path])
  const here = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  return { here, writer: openSync(path, 'w') }
}

/** The first line already finds no room. */
function filled(): number {
  const { here, writer } = fifo()
  const chunk = Buffer.alloc(4_096, '\n')
  try {
    for (;;) writeSync(here, chunk)
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
  }
  return writer
}

function withoutReader(): number {
  const { here, writer } = fifo()
  closeSync(here)
  return writer
}

const outputs = {
  'a full disk': () => openSync('/dev/full', 'w'),
  'a pipe that is full and that nobody reads': filled,
  'a pipe whose reader is gone': withoutReader,
}

type Receiver = {
  readonly url: string
  readonly dataDir: string
  readonly child: ChildProcess
  readonly ended: Promise<number | string>
}

/** A receiver that writes its log to `output`, on a socket that is handed to it, because its log cannot tell its port. */
async function start(output: number, preload = ''): Promise<Receiver> {
  const dataDir = scratchDir()
  const held = boundPort()
  const importing = preload === '' ? '' : `--import 'data:text/javascript,${encodeURIComponent(preload)}'`
  const command = `LISTEN_PID=$$ exec ${process.execPath} --import tsx ${importing} src/main.ts`
  const child = spawn('sh', ['-c', command], {
    env: {
      PATH: process.env.PATH,
      DATA_DIR: dataDir,
      NODE_TOKEN: token,
      MIN_FREE_BYTES: '0',
      LISTEN_FDS: '1',
    },
    stdio: ['ignore', output, 'inherit', held.fd],
  })
  const killed = (): boolean => child.kill('SIGKILL')
  process.once('exit', killed)
  const ended = once(child, 'exit').then(([code, signal]) => {
    process.off('exit', killed)
    return code ?? signal
  })
  held.close()
  const url = `http://127.0.0.1:${held.port}`
  while ((await fetch(`${url}/health`).catch(() => undefined))?.status !== 200) await delay(20)
  return { url, dataDir, child, ended }
}

async function post(receiver: Receiver, narrative: string): Promise<number> {
  const response = await fetch(`${receiver.url}/receive`, {
    method: 'POST',
    headers: { 'x-node-token': token },
    body: JSON.stringify(scn01({ narrative })),
  })
  await response.arrayBuffer()
  return response.status
}

describe('standard output that takes nothing', { concurrency: 2 }, () => {
  for (const [what, open] of Object.entries(outputs)) {
    test(`${what}: posts are stored, and SIGTERM ends with 0`, patience, async () => {
      const output = open()
      const receiver = await start(output)
      assert.equal(await post(receiver, 'first'), 201)
      receiver.child.kill('SIGTERM')
      assert.equal(await receiver.ended, 0)
      closeSync(output)
    })

    test(`${what}: a mistake in the program ends with 1`, patience, async () => {
      const output = open()
      const receiver = await start(output, 'process.on("SIGUSR2", () => { throw new Error("a mistake") })')
      receiver.child.kill('SIGUSR2')
      assert.equal(await receiver.ended, 1)
      closeSync(output)
    })
  }

  test(
    'a reader that stands still costs no record, and reads all lines when it reads again',
    patience,
    async () => {
      const { here, writer } = fifo()
      const receiver = await start(writer)
      let next = 0
      const sender = async (): Promise<void> => {
        while (next < 2_000) assert.equal(await post(receiver, String(next++)), 201)
      }
      await Promise.all(Array.from({ length: 32 }, sender))
      assert.equal(JSON.parse(readFileSync(recordsPath(receiver.dataDir), 'utf8')).length, 2_000)
      const text = readUntil(here, () => receiver.child.kill('SIGTERM'), '"stopped"')
      assert.equal((await text).match(/"outcome":"appended"/g)?.length, 2_000)
      assert.equal(await receiver.ended, 0)
      for (const fd of [here, writer]) closeSync(fd)
    },
  )
})

/** Reads what is there, again and again, until `end` has come. `begin` is called when the first bytes were read. */
async function readUntil(fd: number, begin: () => void, end: string): Promise<string> {
  const bytes = Buffer.alloc(65_536)
  let text = ''
  for (let hasBegun = false; !text.includes(end); ) {
    try {
      text += bytes.toString('latin1', 0, readSync(fd, bytes))
      if (!hasBegun) begin()
      hasBegun = true
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
      await delay(1)
    }
  }
  return text
}
