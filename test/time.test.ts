/** Time limits of a real receiver over real sockets: for a head, a body, an idle connection, a lock. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { scn01 } from './receiver.ts'
import { asking, chunk, chunked, head, problemIn, receiverOfFile, request, type Wire, wire } from './wire.ts'

const receiver = receiverOfFile()
const { answerTo } = asking(receiver)

describe('time', { concurrency: true }, () => {
  type Send = (line: Wire) => Promise<void> | void
  const took = async (send: Send) => {
    const line = await wire(receiver.url)
    const began = performance.now()
    await send(line)
    const answer = await line.answer({ withinMs: 12_000 })
    const ms = performance.now() - began
    assert.equal(answer.status, 408)
    problemIn(answer)
    assert.equal(answer.headers.connection, 'close')
    await line.closed(3_000)
    return ms
  }
  const drip = (line: Wire, drop: string) => {
    const dripping = setInterval(() => line.send(drop), 250)
    line.socket.once('end', () => clearInterval(dripping))
  }

  for (const [what, send] of [
    ['never comes', (line) => line.send(head({ 'content-length': 10 }))],
    [
      'drips in',
      (line) => {
        line.send(head({ 'content-length': 1000 }))
        return drip(line, 'x')
      },
    ],
    [
      'drips in by chunks',
      (line) => {
        line.send(head(chunked))
        return drip(line, chunk('x'))
      },
    ],
    [
      'was asked for with 100 Continue and never comes',
      async (line) => {
        line.send(head({ 'content-length': 10, expect: '100-continue' }))
        assert.equal((await line.answer()).status, 100)
      },
    ],
  ] as [string, Send][]) {
    test(`runs out after 8 s for a body that ${what}`, async () => {
      const ms = await took(send)
      assert.ok(ms > 7_900 && ms < 10_000, `${ms} ms`)
    })
  }

  for (const [what, send] of [
    ['never ends', (line) => line.send('POST /receive HTTP/1.1\r\nhost: x\r\n')],
    [
      'drips in',
      (line) => {
        line.send('POST /receive HTTP/1.1\r\n')
        return drip(line, 'a: b\r\n')
      },
    ],
  ] as [string, Send][]) {
    test(`runs out within 10 s for a head that ${what}`, async () => {
      const ms = await took(send)
      assert.ok(ms > 5_000 && ms < 10_000, `${ms} ms`)
    })
  }

  test('runs out for a connection that is idle, and it is ended without a word', async () => {
    const line = await wire(receiver.url)
    assert.equal(await line.closed(), '')
  })

  test('runs out within 10 s for a record whose association another process keeps locked', async () => {
    const association = join(receiver.dataDir, 'scn01/kept-locked')
    mkdirSync(join(association, 'records.json.lock'), { recursive: true })
    const beating = setInterval(() => {
      const now = new Date()
      utimesSync(join(association, 'records.json.lock'), now, now)
    }, 500)
    const began = performance.now()
    const answer = await answerTo(request(scn01({ association_slug: 'kept-locked' })))
    const ms = performance.now() - began
    clearInterval(beating)
    rmSync(association, { recursive: true })
    assert.deepEqual([answer.status, problemIn(answer)], [503, 'storage-busy'])
    assert.equal(answer.headers['retry-after'], '2')
    assert.ok(ms < 10_000, `${ms} ms`)
  })
})
