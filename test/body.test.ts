/** Bodies over real sockets against a real receiver: in which forms they are accepted, and which are refused before they arrive. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { vs01, wrongToken } from './receiver.ts'
import { asking, chunk, chunked, head, problemIn, receiverOfFile, request, wire } from './wire.ts'

const text = JSON.stringify(vs01())

const receiver = receiverOfFile()
const { answerTo, refusalOf } = asking(receiver)

describe('a body', { concurrency: true }, () => {
  test('is not waited for when the token is wrong', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'x-node-token': wrongToken, 'content-length': 1000 }))
    const answer = await line.answer({ withinMs: 2_000 })
    assert.equal(answer.status, 401)
    assert.equal(answer.headers['www-authenticate'], 'NodeToken realm="civic-orchestrator"')
    line.socket.destroy()
  })

  test('that the receiver does not read ends the connection sooner or later, and costs no other request', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'x-node-token': wrongToken, 'content-length': 900_000_000 }))
    assert.equal((await line.answer()).status, 401)
    const pouring = setInterval(() => line.socket.write('x'.repeat(65_536)), 20)
    await line.closed()
    clearInterval(pouring)
    assert.equal((await answerTo(request(vs01()))).status, 200)
  })

  test('may come in chunks, with extensions and trailers, split anywhere', async () => {
    for (const body of [
      `${chunk(text)}0\r\n\r\n`,
      `${chunk(text.slice(0, 9))}${chunk(text.slice(9), ';a=b;c="d"')}0;last\r\n\r\n`,
      `${chunk(text)}0\r\nX-Trailer: t\r\nx-node-token: ${wrongToken}\r\n\r\n`,
    ]) {
      assert.equal((await answerTo(head(chunked) + body)).status, 200)
    }
    const line = await wire(receiver.url)
    for (const byte of `${head(chunked)}${chunk(text)}0\r\n\r\n`) line.send(byte)
    assert.equal((await line.answer()).status, 200)
    line.send(request(vs01()))
    assert.equal((await line.answer()).status, 200, 'the connection goes on')
    line.socket.destroy()
  })

  test('that is over the limit is refused while it streams, without its end and without a declared length', async () => {
    const line = await wire(receiver.url)
    line.send(head(chunked))
    for (let n = 0; n < 20; n++) line.send(chunk('x'.repeat(65_536)))
    const answer = await line.answer({ withinMs: 3_000 })
    assert.equal(answer.status, 413)
    assert.equal(problemIn(answer), 'body-too-large')
    await line.closed()
  })

  test('that is over the limit and ends has its answer, which says that the connection ends', async () => {
    const line = await wire(receiver.url)
    line.send(`${head(chunked)}${chunk('x'.repeat(4_000)).repeat(300)}0\r\n\r\n`)
    const answer = await line.answer({ withinMs: 3_000 })
    assert.deepEqual([answer.status, answer.headers.connection], [413, 'close'])
    assert.equal(await line.closed(3_000), '')
  })

  test('that is declared over the limit is refused before it comes', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'content-length': 1_048_577 }))
    const answer = await line.answer({ withinMs: 2_000 })
    assert.equal(problemIn(answer), 'body-too-large')
    line.socket.destroy()
    const full = JSON.stringify(vs01({ fields: { a: '' } })).padEnd(1_048_576, ' ')
    assert.equal((await answerTo(request(full))).status, 200)
  })

  test('has one length: two, a bad one, or a length and chunks are refused, and the connection ends', async () => {
    for (const [what, sent] of [
      ['both', `${head({ 'content-length': 5, ...chunked })}0\r\n\r\n`],
      ['two', `${head({ 'content-length': ['5', '6'] })}xxxxxx`],
      ['a word', head({ 'content-length': 'five' })],
      ['negative', head({ 'content-length': '-1' })],
      ['beyond 64 bits', head({ 'content-length': '99999999999999999999999' })],
      ['a list', `${head({ 'content-length': '5, 5' })}xxxxx`],
      ['a bad chunk size', `${head(chunked)}zz\r\n`],
      ['a chunk longer than it says', `${head(chunked)}5\r\nabcdefgh\r\n0\r\n\r\n`],
    ] as const) {
      const line = await wire(receiver.url)
      line.send(sent, request(vs01()))
      const answer = await line.answer()
      assert.equal(answer.status, 400, what)
      assert.equal(problemIn(answer), 'bad-request', what)
      assert.equal(answer.headers.connection, 'close', what)
      assert.equal(await line.closed(), '', `${what}: a second request was seen in what was no body`)
    }
  })

  test('of another transfer coding than chunked is refused as such', async () => {
    for (const coding of ['gzip', 'chunked, identity', 'gzip, chunked', 'identity']) {
      assert.deepEqual(
        await refusalOf(`${head({ 'transfer-encoding': coding })}0\r\n\r\n`),
        [501, 'transfer-encoding'],
        coding,
      )
    }
  })

  test('needs a length or chunks', async () => {
    assert.deepEqual(await refusalOf(head()), [411, 'length-required'])
    assert.deepEqual(await refusalOf(head({}, 'POST /receive HTTP/1.0')), [411, 'length-required'])
  })

  test('of chunk extensions without end is refused', async () => {
    const sent = `${head(chunked)}5;${'a'.repeat(40_000)}\r\nabcde\r\n0\r\n\r\n`
    assert.deepEqual(await refusalOf(sent), [400, 'bad-request'])
  })

  test('that is cut off is not stored, whichever way it is cut', async () => {
    const cut = vs01({ association_slug: 'cut-off' })
    const whole = request(cut)
    const lines = await Promise.all(Array.from({ length: 4 }, () => wire(receiver.url)))
    const [ended, reset, ...gone] = lines
    for (const line of lines) line.send(whole.slice(0, -1))
    await delay(100)
    ended!.socket.end()
    reset!.socket.resetAndDestroy()
    for (const line of gone) line.socket.destroy()
    await ended!.closed()
    await delay(200)
    assert.equal(existsSync(join(receiver.dataDir, 'vs01/cut-off')), false)
    assert.equal((await answerTo(request(vs01()))).status, 200)
  })

  test('that came whole before its sender went away is stored, though nobody hears of it', async () => {
    const line = await wire(receiver.url)
    line.send(request(vs01({ association_slug: 'gone-away' })))
    line.socket.end()
    await line.closed()
    const path = join(receiver.dataDir, 'vs01/gone-away/SASE1-22c-at-5sb-8hm-54v.json')
    for (let n = 0; n < 100 && !existsSync(path); n++) await delay(20)
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).association_slug, 'gone-away')
  })

  test('has its Content-Type ignored', async () => {
    for (const type of [
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'text/xml; charset=utf-16',
      '\t',
      '',
    ])
      assert.equal((await answerTo(request(vs01(), { 'content-type': type }))).status, 200, type)
  })

  test('is not read when it is encoded', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'content-length': 100, 'content-encoding': 'gzip' }))
    const answer = await line.answer({ withinMs: 2_000 })
    assert.deepEqual([answer.status, problemIn(answer)], [415, 'content-encoding'])
    line.socket.destroy()
  })
})

describe('Expect', { concurrency: true }, () => {
  const asking = { expect: '100-continue', 'content-length': Buffer.byteLength(text) }

  test('100-continue is answered when the head is right, and the connection goes on', async () => {
    const line = await wire(receiver.url)
    for (let n = 0; n < 3; n++) {
      line.send(head({ ...asking, expect: n === 1 ? '100-Continue' : '100-continue' }))
      const interim = await line.answer()
      assert.deepEqual([interim.status, interim.headers], [100, {}])
      line.send(text)
      assert.equal((await line.answer()).status, 200)
    }
    line.socket.destroy()
  })

  test('100-continue is not answered when the head is wrong: one refusal, and the connection ends', async () => {
    for (const [status, changes, first] of [
      [401, { 'x-node-token': wrongToken }],
      [401, { 'x-node-token': null }],
      [413, { 'content-length': 1_048_577 }],
      [415, { 'content-encoding': 'gzip' }],
      [404, {}, 'POST /elsewhere HTTP/1.1'],
      [405, {}, 'PUT /receive HTTP/1.1'],
    ] as [number, Parameters<typeof head>[0], string?][]) {
      const line = await wire(receiver.url)
      line.send(head({ ...asking, ...changes }, first))
      const answer = await line.answer()
      assert.equal(answer.status, status)
      problemIn(answer)
      assert.equal(answer.headers.connection, 'close', String(status))
      assert.equal(await line.closed(3_000), '')
    }
  })

  test('of any other value is refused', async () => {
    assert.deepEqual(await refusalOf(request(vs01(), { expect: 'a-miracle' })), [417, 'expectation-failed'])
  })

  test('100-continue with the body right behind it needs no second round', async () => {
    const line = await wire(receiver.url)
    line.send(head(asking) + text)
    assert.equal((await line.answer()).status, 100)
    assert.equal((await line.answer()).status, 200)
    line.socket.destroy()
  })
})
