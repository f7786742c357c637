/** The end of a receiver: requests in flight are answered, no connection is cut off, and a restart costs no request. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { boundPort } from './bound.ts'
import { receiverCommand } from './bundle.ts'
import { type Receiver, scn01, scratchDir, startReceiver, token, vs01 } from './receiver.ts'
import { head, request, type Wire, wire } from './wire.ts'

const text = JSON.stringify(vs01())
const unfinished = head({ 'content-length': text.length })

/** Waits for the end, and gives the exit code and how long it took from now on. */
async function endOf({ process: child }: Receiver): Promise<{ code: number | string | null; ms: number }> {
  const began = performance.now()
  child.ref()
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return { code: child.exitCode ?? child.signalCode, ms: performance.now() - began }
}

/** A connection that the receiver has accepted. A connection that still waited would be lost with the listening socket. */
async function accepted(receiver: Receiver): Promise<Wire> {
  const line = await wire(receiver.url)
  line.send(head({}, 'GET /health HTTP/1.1'))
  assert.equal((await line.answer()).status, 200)
  return line
}

async function said(receiver: Receiver, what: string): Promise<void> {
  for (let n = 0; n < 200 && !receiver.output().includes(what); n++) await delay(10)
  assert.ok(receiver.output().includes(what), receiver.output())
}

describe('a receiver that is told to stop', { concurrency: 4 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`by ${signal} answers what is in flight, takes no new connection, and ends with 0`, async () => {
      const receiver = await startReceiver()
      const lines = await Promise.all([accepted(receiver), accepted(receiver)])
      for (const line of lines) line.send(unfinished)
      await delay(100)
      receiver.process.kill(signal)
      await said(receiver, '"stopping"')
      await assert.rejects(wire(receiver.url), { code: 'ECONNREFUSED' })
      await delay(1_500)
      for (const [n, line] of lines.entries()) {
        line.send(text)
        const answer = await line.answer()
        assert.equal(answer.status, n === 0 ? 201 : 200)
        assert.equal(answer.headers.connection, 'close')
        await line.closed(5_000)
      }
      assert.equal((await endOf(receiver)).code, 0)
    })
  }

  test('ends soon when nothing is in flight, though connections are open, and leaves no lock', async () => {
    const receiver = await startReceiver()
    const [silent, idle] = await Promise.all([wire(receiver.url), wire(receiver.url)])
    idle.send(request(scn01()))
    assert.equal((await idle.answer()).status, 201)
    receiver.process.kill('SIGTERM')
    const { code, ms } = await endOf(receiver)
    assert.equal(code, 0)
    assert.ok(ms < 4_000, `${ms} ms`)
    for (const line of [silent, idle]) assert.equal(await line.closed(), '')
    const left = readdirSync(join(receiver.dataDir, 'scn01/heron-ridge'))
    assert.deepEqual(left.sort(), ['.records.head.json', 'records.json'])
  })

  test('still serves a request that comes on a kept-alive connection within a second, as its last one', async () => {
    const receiver = await startReceiver()
    const line = await wire(receiver.url)
    line.send(request(vs01()))
    assert.notEqual((await line.answer()).headers.connection, 'close')
    receiver.process.kill('SIGTERM')
    await said(receiver, '"stopping"')
    line.send(request(vs01()))
    const answer = await line.answer()
    assert.deepEqual([answer.status, answer.headers.connection], [200, 'close'])
    await line.closed(5_000)
    assert.equal((await endOf(receiver)).code, 0)
  })

  test('answers a request that comes even later with 503', async () => {
    const receiver = await startReceiver()
    const [late, asking] = await Promise.all([accepted(receiver), accepted(receiver)])
    late.send('POST /receive HTTP/1.1\r\n')
    asking.send('POST /receive HTTP/1.1\r\n')
    await delay(100)
    receiver.process.kill('SIGTERM')
    await said(receiver, '"stopping"')
    await delay(1_300)
    late.send(request(vs01()).replace(/^.*\r\n/, ''))
    asking.send(head({ 'content-length': 9, expect: '100-continue' }).replace(/^.*\r\n/, ''))
    for (const line of [late, asking]) {
      const answer = await line.answer()
      assert.equal(answer.status, 503)
      assert.equal(answer.json().type, 'urn:civic-orchestrator:problem:draining')
      assert.deepEqual([answer.headers['retry-after'], answer.headers.connection], ['2', 'close'])
      assert.equal(await line.closed(5_000), '')
    }
    assert.equal((await endOf(receiver)).code, 0)
  })

  test('fails no request of senders that keep their connections busy', async () => {
    const receiver = await startReceiver()
    let signalled = Number.POSITIVE_INFINITY
    const outcomes = { stored: 0, afterSignal: 0, closed: 0 }
    const lines = await Promise.all(Array.from({ length: 24 }, () => accepted(receiver)))
    const senders = lines.map(async (line, n) => {
      for (let round = 0; ; round++) {
        const isLate = performance.now() - signalled > 800
        line.send(request(scn01({ association_slug: `load-${n % 3}`, narrative: `${n} ${round}` })))
        const answer = await line.answer().catch((error) => {
          // Only a request that came more than a second later may find no receiver.
          if (isLate) return undefined
          throw error
        })
        if (!answer || (isLate && answer.status === 503)) break
        assert.equal(answer.status, 201)
        outcomes.stored++
        if (Number.isFinite(signalled)) outcomes.afterSignal++
        if (answer.headers.connection === 'close') break
        // Some connections are idle for a moment when the signal comes.
        if (n % 4 === 0) await delay(n * 5)
      }
      outcomes.closed++
      await line.closed(5_000)
    })
    await delay(500)
    signalled = performance.now()
    receiver.process.kill('SIGTERM')
    await Promise.all(senders)
    assert.equal((await endOf(receiver)).code, 0)
    assert.equal(outcomes.closed, 24)
    assert.ok(outcomes.afterSignal >= 12, `${outcomes.afterSignal} answers after the signal`)
    const stored = [0, 1, 2].flatMap((n) =>
      JSON.parse(readFileSync(join(receiver.dataDir, `scn01/load-${n}/records.json`), 'utf8')),
    )
    assert.ok(stored.length >= outcomes.stored)
  })

  test('is not killed by a signal that comes twice at once, as npm and a terminal send it', async () => {
    const receiver = await startReceiver()
    const line = await accepted(receiver)
    line.send(unfinished)
    await delay(100)
    // Both signals are sent at once, so that even on a busy machine no second passes between them.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) receiver.process.kill(signal)
    await said(receiver, '"stopping"')
    line.send(text)
    assert.equal((await line.answer()).status, 201)
    assert.equal((await endOf(receiver)).code, 0)
  })

  test('is ended by a second signal a second later', async () => {
    const receiver = await startReceiver()
    const line = await accepted(receiver)
    line.send(unfinished)
    await delay(100)
    receiver.process.kill('SIGTERM')
    await delay(1_200)
    assert.equal(receiver.process.exitCode, null)
    receiver.process.kill('SIGINT')
    const { code, ms } = await endOf(receiver)
    assert.equal(code, 1)
    assert.ok(ms < 1_000, `${ms} ms`)
    await said(receiver, 'stopped at once, on a second signal')
    await line.closed()
  })

  test('does not wait for ever for a body: its sender is told, and it ends with 0', async () => {
    const receiver = await startReceiver()
    const line = await accepted(receiver)
    line.send(unfinished)
    await delay(100)
    receiver.process.kill('SIGTERM')
    const answer = await line.answer()
    assert.deepEqual([answer.status, answer.headers.connection], [408, 'close'])
    const { code, ms } = await endOf(receiver)
    assert.equal(code, 0)
    assert.ok(ms < 3_000, `${ms} ms`)
  })
})

test('a restart on a socket that systemd holds refuses no connection', async () => {
  const dataDir = scratchDir()
  // The socket is only bound here, because a server in this process would accept connections itself.
  const held = boundPort()
  const { port } = held
  const start = (listenPid = '$$') => {
    const command = `LISTEN_PID=${listenPid} exec ${receiverCommand.join(' ')}`
    const child = spawn('sh', ['-c', command], {
      env: { PATH: process.env.PATH, DATA_DIR: dataDir, NODE_TOKEN: token, LISTEN_FDS: '1', PORT: '1' },
      stdio: ['ignore', 'pipe', 'inherit', held.fd],
    })
    let output = ''
    child.stdout?.on('data', (chunk) => (output += chunk))
    return { child, output: () => output }
  }
  const post = (narrative: string) =>
    fetch(`http://127.0.0.1:${port}/receive`, {
      method: 'POST',
      headers: { 'x-node-token': token },
      body: JSON.stringify(scn01({ narrative })),
    })

  const first = start()
  while (!first.output().includes('listening')) await delay(20)
  assert.equal((await post('before')).status, 201)
  assert.ok(first.output().includes(`"port":${port}`))
  first.child.kill('SIGTERM')
  assert.equal((await once(first.child, 'exit'))[0], 0)
  const meanwhile = Promise.all(['a', 'b', 'c'].map(post))
  await delay(100)
  const second = start()
  for (const response of await meanwhile) assert.equal(response.status, 201)
  assert.equal((await post('before')).status, 200, 'a duplicate')
  second.child.kill('SIGTERM')
  assert.equal((await once(second.child, 'exit'))[0], 0)

  // The receiver must not use a socket that was handed to another process. So it uses PORT, and port 1 cannot be bound.
  const stranger = start('1')
  const started = performance.now()
  while (
    !/"port":1,|"code":"E(ACCES|ADDRINUSE)"/.test(stranger.output()) &&
    performance.now() - started < 8_000
  )
    await delay(20)
  assert.match(stranger.output(), /"port":1,|"code":"E(ACCES|ADDRINUSE)"/)
  stranger.child.kill('SIGKILL')
  held.close()
})
