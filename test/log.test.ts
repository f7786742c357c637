import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

const source = JSON.stringify(new URL('../src/log.ts', import.meta.url).href)

/** A process that logs as the receiver does, and goes on. */
function logging(script: string): ChildProcessByStdio<null, Readable, null> {
  const program = `import { createLog } from ${source}; const log = createLog('info'); ${script}`
  const args = ['--import', 'tsx', '--input-type=module', '-e', program]
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
}

function messagesIn(text: string): string[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line).msg)
}

test('a line that came while the reader did not read is written when it does, without a further one', async () => {
  // more than a pipe holds, and one more while the write of them waits
  const child = logging(
    `for (let at = 0; at < 4000; at++) log.info({ fill: 'x'.repeat(200) }, String(at)); setTimeout(() => log.info({}, 'last'), 300); setInterval(() => {}, 1000)`,
  )
  try {
    await sleep(2_000)
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    for (let waited = 0; waited < 3_000 && !text.endsWith('"last"}\n'); waited += 50) await sleep(50)
    assert.deepEqual(messagesIn(text), [...Array.from({ length: 4_000 }, (_, at) => String(at)), 'last'])
  } finally {
    child.kill('SIGKILL')
  }
})

test('a line is out within a moment, and the last ones before the process ends by itself', async () => {
  const child = logging(
    `log.info({}, 'first'); setTimeout(() => { log.info({}, 'second'); log.info({}, 'last'); log.flush(); process.exit(0) }, 3000)`,
  )
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  for (let waited = 0; waited < 2_500 && text === ''; waited += 50) await sleep(50)
  assert.deepEqual(messagesIn(text), ['first'])
  await once(child, 'close')
  assert.deepEqual(messagesIn(text), ['first', 'second', 'last'])
})
