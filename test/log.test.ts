/** The log of a process whose reader is slow, stands still or reads at the end. */
import assert from 'node:assert/strict'
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { scratchDir } from './receiver.ts'

const source = JSON.stringify(new URL('../src/server/log.ts', import.meta.url).href)

type Logging = ChildProcessByStdio<Writable, Readable, Readable>

/** A process that logs as the receiver does. It reports its progress on standard error. */
function logging(script: string): Logging {
  const program = `import { createLog } from ${source}; const log = createLog('info'); ${script}`
  const args = ['--import', 'tsx', '--input-type=module', '-e', program]
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Like `logging`, but the log goes into a regular file. */
function loggingInto(path: string, script: string): ChildProcess {
  const program = `import { createLog } from ${source}; const log = createLog('info'); ${script}`
  const args = ['--import', 'tsx', '--input-type=module', '-e', program]
  return spawn(process.execPath, args, { stdio: ['pipe', openSync(path, 'w'), 'inherit'] })
}

function messagesIn(text: string): string[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line).msg)
}

/** The standard output of the process until it ends with this text. */
async function outputUntil(child: Logging, end: string): Promise<string> {
  let text = ''
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    text += chunk
    if (text.endsWith(end)) break
  }
  return text
}

test('a line that came while the reader did not read is written when the reader reads again, without a further line', async () => {
  // The first lines are more than a pipe holds. One more line comes while their write waits.
  const child = logging(
    `for (let at = 0; at < 4000; at++) log.info({ fill: 'x'.repeat(200) }, String(at));
     setTimeout(() => { log.info({}, 'last'); setTimeout(() => process.stderr.write('logged'), 300) }, 300);
     setInterval(() => {}, 1000)`,
  )
  try {
    await once(child.stderr, 'data')
    const text = await outputUntil(child, '"last"}\n')
    assert.deepEqual(messagesIn(text), [...Array.from({ length: 4_000 }, (_, at) => String(at)), 'last'])
  } finally {
    child.kill('SIGKILL')
  }
})

test('a reader that stands still for long takes no more memory, and is told how many lines it has lost', async () => {
  // The process logs 8 MB in parts, one after another.
  const child = logging(
    `let at = 0;
     const more = setInterval(() => {
       if (at === 8_000) { clearInterval(more); process.stderr.write('logged') }
       else for (const end = at + 1_000; at < end; at++) log.info({ fill: 'x'.repeat(1_000) }, String(at))
     }, 50);
     process.stdin.once('data', () => { log.info({}, 'last'); log.flush(); process.exit(0) })`,
  )
  try {
    await once(child.stderr, 'data')
    let text = ''
    for await (const chunk of child.stdout) {
      text += chunk
      // At this point the pipe has room again.
      if (text.length > 3_000_000 && !child.stdin.writableEnded) child.stdin.end('end')
    }
    const lines = text.split('\n').slice(0, -1)
    assert.equal(JSON.parse(lines.at(-1) as string).msg, 'last')
    const { lines: lost } = JSON.parse(lines.at(-2) as string)
    assert.equal(lines.length - 2 + lost, 8_000)
    assert.ok(lost > 2_000, `${lost}`)
  } finally {
    child.kill('SIGKILL')
  }
})

test('a line is written without waiting for more, and the last lines are written before the process ends', async () => {
  const child = logging(
    `log.info({}, 'first');
     process.stdin.once('data', () => { log.info({}, 'second'); log.info({}, 'last'); log.flush(); process.exit(0) })`,
  )
  assert.deepEqual(messagesIn(await outputUntil(child, '"first"}\n')), ['first'])
  child.stdin.write('end')
  assert.deepEqual(messagesIn(await outputUntil(child, 'never')), ['second', 'last'])
})

test('into a file, lines are out by themselves, each once and in order, and the last ones before the process ends', async () => {
  const path = join(scratchDir(), 'log')
  // The process logs 2 MB, so that lines come while others are being written.
  const child = loggingInto(
    path,
    `const fill = 'x'.repeat(100_000);
     let at = 0;
     const more = setInterval(() => {
       log.info({ fill }, String(at));
       if (++at === 20) clearInterval(more);
     }, 1);
     process.stdin.once('data', () => { log.info({}, 'last'); log.flush(); process.exit(0) })`,
  )
  const ended = once(child, 'exit')
  const written = (): string[] => messagesIn(readFileSync(path, 'utf8'))
  try {
    const all = Array.from({ length: 20 }, (_, at) => String(at))
    while (child.exitCode === null && written().length < all.length) await delay(10)
    assert.deepEqual(written(), all)
    child.stdin?.end('end')
    assert.deepEqual(await ended, [0, null])
    assert.deepEqual(written(), [...all, 'last'])
  } finally {
    child.kill('SIGKILL')
  }
})

test('a single lost line is reported, too', async () => {
  const child = logging(
    `for (let at = 0; at < 5_000; at++) log.info({ fill: 'x'.repeat(1_000) }, String(at));
     const full = setInterval(() => {
       if (log.state.waitingBytes < 4 * 1024 * 1024) return;
       clearInterval(full); log.info({}, 'lost'); process.stderr.write('lost');
       const empty = setInterval(() => {
         if (log.state.waitingBytes > 0) return;
         clearInterval(empty); log.info({}, 'last'); log.flush(); process.exit(0)
       }, 10)
     }, 10)`,
  )
  try {
    await once(child.stderr, 'data')
    const text = await outputUntil(child, '"last"}\n')
    const lines = text.split('\n').slice(0, -1)
    assert.equal(lines.length, 5_002)
    const { lines: lost, msg } = JSON.parse(lines.at(-2) as string)
    assert.deepEqual([lost, msg], [1, 'lines of this log are lost: standard output did not take them'])
  } finally {
    child.kill('SIGKILL')
  }
})
