/** Standard output that accepts nothing (a full disk, a reader that stands still, a reader that is gone) delays no request. */
import assert from 'node:assert/strict'
import { type StdioOptions, spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { receiverCommand } from './bundle.ts'
import { chainOf, recordsPath } from './disk.ts'
import { fifo, filledFifo, type MutedReceiver, startMuted } from './muted.ts'
import { scn01, token } from './receiver.ts'

/** A long limit, so that only a receiver that hangs fails the test, and a slow one does not. */
const patience = { timeout: 300_000 }

function withoutReader(): number {
  const { here, writer } = fifo()
  closeSync(here)
  return writer
}

const mistake = 'process.on("SIGUSR2", () => { throw new Error("a mistake") })'

const outputs = {
  'a full disk': () => openSync('/dev/full', 'w'),
  'a pipe that is full and that nobody reads': filledFifo,
  'a pipe whose reader is gone': withoutReader,
}

async function post(receiver: MutedReceiver, narrative: string): Promise<number> {
  const response = await fetch(`${receiver.url}/receive`, {
    method: 'POST',
    headers: { 'x-node-token': token },
    body: JSON.stringify(scn01({ narrative })),
  })
  await response.arrayBuffer()
  return response.status
}

/** Posts many records. Each must get its receipt and be in the file. */
async function postMany(receiver: MutedReceiver, count: number): Promise<void> {
  let next = 0
  const sender = async (): Promise<void> => {
    while (next < count) assert.equal(await post(receiver, String(next++)), 201)
  }
  await Promise.all(Array.from({ length: 32 }, sender))
  assert.equal(chainOf(recordsPath(receiver.dataDir)).length, count)
}

describe('standard output that takes nothing', { concurrency: 2 }, () => {
  for (const [what, open] of Object.entries(outputs)) {
    test(`${what}: posts are stored, and SIGTERM ends with 0`, patience, async () => {
      const output = open()
      const receiver = await startMuted(output)
      await postMany(receiver, 300)
      receiver.child.kill('SIGTERM')
      assert.equal(await receiver.ended, 0)
      closeSync(output)
    })

    test(`${what}: a mistake in the program ends with 1`, patience, async () => {
      const output = open()
      const receiver = await startMuted(output, { preload: mistake })
      receiver.child.kill('SIGUSR2')
      assert.equal(await receiver.ended, 1)
      closeSync(output)
    })
  }

  test(
    'closed: no file of the records takes its place, posts are stored, and SIGTERM ends with 0',
    patience,
    async () => {
      const receiver = await startMuted('closed')
      await postMany(receiver, 300)
      receiver.child.kill('SIGTERM')
      assert.equal(await receiver.ended, 0)
      assert.equal(chainOf(recordsPath(receiver.dataDir)).length, 300)
    },
  )

  test('a mistake in the configuration ends with 78, though standard error takes nothing either', () => {
    for (const open of Object.values(outputs)) {
      const output = open()
      const stdio: StdioOptions = ['ignore', output, output]
      const env = { PATH: process.env.PATH, PORT: 'none' }
      const [program, ...args] = receiverCommand
      const { status } = spawnSync(program, args, { env, stdio })
      assert.equal(status, 78)
      closeSync(output)
    }
  })

  test(
    'a reader that stands still costs no record, and reads all lines when it reads again',
    patience,
    async () => {
      const { here, writer } = fifo()
      const receiver = await startMuted(writer)
      await postMany(receiver, 1_000)
      const lines = await readUntil(
        here,
        (text) => (text.match(/"outcome":"appended"/g)?.length ?? 0) === 1_000,
      )
      assert.ok(lines.startsWith('{'))
      receiver.child.kill('SIGTERM')
      assert.equal(await receiver.ended, 0)
      for (const fd of [here, writer]) closeSync(fd)
    },
  )
})

/** Reads again and again until the text is enough. */
async function readUntil(fd: number, isEnough: (text: string) => boolean): Promise<string> {
  const bytes = Buffer.alloc(65_536)
  let text = ''
  while (!isEnough(text)) {
    try {
      text += bytes.toString('latin1', 0, readSync(fd, bytes))
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN')
      await delay(1)
    }
  }
  return text
}
