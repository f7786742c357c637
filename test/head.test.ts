/** Connections and request heads over real sockets against a real receiver: what HTTP allows, and what only resembles HTTP. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { scn01, startReceiver, token, vs01, wrongToken } from './receiver.ts'
import { answerAt, asking, chunk, chunked, head, problemIn, receiverOfFile, request, wire } from './wire.ts'

const text = JSON.stringify(vs01())

const receiver = receiverOfFile()
const { answerTo, refusalOf } = asking(receiver)

describe('a connection', { concurrency: true }, () => {
  test('carries many requests, one after the other', async () => {
    const line = await wire(receiver.url)
    for (let n = 0; n < 200; n++) {
      line.send(request(n % 3 === 1 ? '{' : vs01({ association_slug: 'keep-alive' })))
      const answer = await line.answer()
      assert.equal(answer.status, n % 3 === 1 ? 400 : n === 0 ? 201 : 200)
      assert.notEqual(answer.headers.connection, 'close')
    }
    line.socket.destroy()
  })

  test('carries pipelined requests, answered in their order', async () => {
    const line = await wire(receiver.url)
    const kinds = [
      [request(scn01({ association_slug: 'pipelined', narrative: 'first' })), 201],
      [head({}, 'GET /health HTTP/1.1'), 200],
      [request('{'), 400],
      [request(vs01({ association_slug: 'pipelined' })), 201],
      [request(vs01(), { 'x-node-token': wrongToken }), 401],
      [request(scn01({ association_slug: 'pipelined', narrative: 'first' })), 200],
      [head({}, 'GET /nowhere HTTP/1.1'), 404],
      [`${head(chunked)}${chunk('{}')}0\r\n\r\n`, 422],
    ] as const
    const many = Array.from({ length: 5 }, (_, round) =>
      kinds.map(([sent, status], n) => ({
        sent: sent.replace('host:', `x-request-id: r${round}-${n}\r\nhost:`),
        status: round > 0 && status === 201 ? 200 : status,
        id: `r${round}-${n}`,
      })),
    ).flat()
    line.send(many.map(({ sent }) => sent).join(''))
    for (const { status, id } of many) {
      const answer = await line.answer()
      assert.deepEqual([answer.headers['x-request-id'], answer.status], [id, status])
    }
    line.socket.destroy()
  })

  test('gives each pipelined request its own answer, also when nonsense follows it', async () => {
    const line = await wire(receiver.url)
    const envelope = scn01({ association_slug: 'then-nonsense' })
    line.send(`${request(envelope, { 'x-request-id': 'right' })}NONSENSE\r\n\r\n`)
    const first = await line.answer()
    assert.deepEqual([first.headers['x-request-id'], first.status], ['right', 201])
    const second = await line.answer()
    assert.equal(second.status, 400)
    assert.equal(await line.closed(), '')
  })

  test('of HTTP/1.0 is answered and ended', async () => {
    const line = await wire(receiver.url)
    line.send(request(vs01(), {}, 'POST /receive HTTP/1.0'))
    const answer = await line.answer()
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.connection, 'close')
    await line.closed()
  })

  test('that asks to end is answered and ended', async () => {
    const line = await wire(receiver.url)
    line.send(request(vs01(), { connection: 'close' }))
    assert.equal((await line.answer()).status, 200)
    await line.closed(2_000)
  })

  test('is not upgraded to anything', async () => {
    for (const upgrade of ['websocket', 'h2c', 'TLS/1.0']) {
      const answer = await answerTo(request(vs01(), { connection: 'upgrade', upgrade }))
      assert.equal(answer.status, 200)
    }
  })
})

describe('a head', { concurrency: true }, () => {
  test('that is no HTTP gets a problem document and the end of the connection', async () => {
    for (const sent of [
      'NONSENSE\r\n\r\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'POST /receive\r\n\r\n',
      'POST /receive HTTP/9.9\r\nhost: x\r\n\r\n',
      'post /receive HTTP/1.1\r\nhost: x\r\n\r\n',
      'POST /receive HTTP/1.1\r\nhost: x\r\nbad name: y\r\n\r\n',
      'POST /receive HTTP/1.1\r\nhost: x\r\nname : y\r\n\r\n',
      'POST /receive HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n',
      'POST /receive HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n',
      'POST /receive HTTP/1.1\nhost: x\n\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ]) {
      const line = await wire(receiver.url)
      line.send(Buffer.from(sent, 'latin1'))
      const answer = await line.answer()
      assert.equal(answer.status, 400, JSON.stringify(sent))
      assert.equal(problemIn(answer), 'bad-request')
      assert.equal(await line.closed(), '')
    }
  })

  test('that is too large is refused with 431, whatever makes it large', async () => {
    for (const sent of [
      head({ filler: 'x'.repeat(17_000) }),
      head({ filler: Array.from({ length: 2_000 }, () => 'xxxxxxxx') }),
      head({}, `POST /receive?${'x'.repeat(17_000)} HTTP/1.1`),
    ]) {
      assert.deepEqual(await refusalOf(sent), [431, 'header-too-large'])
    }
  })

  test('without a Host, or with one that is none, is refused', async () => {
    for (const host of [null, '', 'a b', 'a/b', '[::1', 'user@host', 'host:99999', '..%2f']) {
      assert.deepEqual(await refusalOf(request(vs01(), { host })), [400, 'bad-request'], String(host))
    }
    const twice = request(vs01()).replace('host: receiver.test', 'host: one.test\r\nHost: two.test')
    assert.deepEqual(await refusalOf(twice), [400, 'bad-request'])
    const old = request(vs01(), { host: null }, 'POST /receive HTTP/1.0')
    assert.equal((await answerTo(old)).status, 200, 'HTTP/1.0 has no Host')
    assert.equal((await answerTo(request(vs01(), { host: 'Any.Host:80' }))).status, 200)
    assert.equal((await answerTo(request(vs01(), { host: '[::1]:8787' }))).status, 200)
  })

  test('may name the whole address', async () => {
    const [right, elsewhere] = ['http://other.test/receive', 'http://other.test/elsewhere']
    assert.equal((await answerTo(request(vs01(), {}, `POST ${right} HTTP/1.1`))).status, 200)
    assert.deepEqual(await refusalOf(request(vs01(), {}, `POST ${elsewhere} HTTP/1.1`)), [404, 'not-found'])
    for (const target of [
      'http://',
      'http://other.test:99999/receive',
      'ftp://other.test/receive',
      '*',
      'receive',
    ]) {
      const [status] = await refusalOf(request(vs01(), {}, `POST ${target} HTTP/1.1`))
      assert.equal(status, 400, target)
    }
  })

  test('finds one place under its equivalent spellings and nothing else, and is never sent elsewhere', async () => {
    for (const path of ['/receive', '/receive/', '/receive?x=y']) {
      assert.equal((await answerTo(request(vs01(), {}, `POST ${path} HTTP/1.1`))).status, 200, path)
    }
    for (const path of [
      '/%72eceive',
      '/x/../receive',
      '/./receive',
      '/health/..%2freceive%2fx/..',
      '/receive%2f',
      '/receive%00',
      '/receive%',
      '/receive%ff',
      '//receive',
      '/receive//',
      '/RECEIVE',
      '/%2e%2e/receive/x',
    ]) {
      const answer = await answerTo(request(vs01(), {}, `POST ${path} HTTP/1.1`))
      assert.deepEqual([answer.status, problemIn(answer)], [404, 'not-found'], path)
      assert.equal(answer.headers.location, undefined)
    }
    assert.equal((await refusalOf(request(vs01(), {}, 'POST /receive\\..\\health HTTP/1.1')))[0], 400)
  })

  test('with another method is told the one to use', async () => {
    for (const method of ['GET', 'OPTIONS', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'QUERY']) {
      const answer = await answerTo(head({}, `${method} /receive HTTP/1.1`))
      assert.deepEqual([answer.status, problemIn(answer)], [405, 'method-not-allowed'], method)
      assert.equal(answer.headers.allow, 'POST', method)
    }
    for (const target of ['/receive', 'example.org:443']) {
      const line = await wire(receiver.url)
      line.send(head({}, `CONNECT ${target} HTTP/1.1`))
      const answer = await line.answer()
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'POST'])
      assert.equal(await line.closed(), '')
    }
    for (const [path, status] of [
      ['/receive', 405],
      ['/health', 200],
      ['/ready', 200],
      ['/', 404],
    ] as const) {
      const line = await wire(receiver.url)
      line.send(head({}, `HEAD ${path} HTTP/1.1`))
      assert.equal((await line.answer({ bodiless: true })).status, status)
      assert.equal(await line.silence(50), '', 'an answer to HEAD has no body')
      line.socket.destroy()
    }
  })

  test('with the token twice, in another case, or among blanks', async () => {
    assert.equal(
      (await answerTo(request(vs01(), { 'X-NODE-TOKEN': token, 'x-node-token': null }))).status,
      200,
    )
    assert.equal((await answerTo(request(vs01(), { 'x-node-token': ` \t${token}  ` }))).status, 200)
    const twice = head({ 'x-node-token': [token, token], 'content-length': text.length }) + text
    const answer = await answerTo(twice)
    assert.equal(answer.status, 401)
    assert.match(String(answer.json().detail), /once/)
    const latin = head({ 'x-node-token': null, a: 'b', 'content-length': 0 }).replace(
      'a: b',
      'x-node-token: \xe9\xff',
    )
    const line = await wire(receiver.url)
    line.send(Buffer.from(latin, 'latin1'))
    assert.equal((await line.answer()).status, 401)
    line.socket.destroy()
  })

  test('with a request id gets it back, and the log has one line with it, whoever answers', async () => {
    // This test needs a receiver of its own, because many refusals without the token in one second share a log line.
    const receiver = await startReceiver()
    await receiver.post(vs01())
    const asks: [string, number, string][] = [
      ['stored', 200, request(vs01())],
      ['elsewhere', 404, head({}, 'GET /elsewhere HTTP/1.1')],
      ['untrusted', 401, request(vs01(), { 'x-node-token': wrongToken })],
      ['expecting', 417, request(vs01(), { expect: 'a-miracle' })],
      ['tunnel', 405, head({}, 'CONNECT example.org:443 HTTP/1.1')],
      ['no-host', 400, request(vs01(), { host: null })],
      ['bad-target', 400, request(vs01(), {}, 'POST ftp://x/receive HTTP/1.1')],
      ['bad-chunk', 400, `${head(chunked)}zz\r\n`],
    ]
    for (const [id, status, sent] of asks) {
      const answer = await answerAt(
        receiver.url,
        sent
          .replace('host: ', `x-request-id: ${id}\r\nhost: `)
          .replace(/^([A-Z]+ [^\r]+\r\n)(?!x-request-id)(?=x-node-token)/, `$1x-request-id: ${id}\r\n`),
      )
      assert.deepEqual([answer.headers['x-request-id'], answer.status], [id, status])
    }
    const nonsense = await answerAt(receiver.url, 'NONSENSE\r\n\r\n')
    const large = await answerAt(receiver.url, head({ filler: 'x'.repeat(17_000) }))
    asks.push([nonsense.headers['x-request-id'] as string, 400, ''])
    asks.push([large.headers['x-request-id'] as string, 431, ''])
    await receiver.stop()
    for (const [id, status] of asks) {
      const lines = receiver
        .output()
        .split('\n')
        .filter((line) => line.includes(`"request_id":"${id}"`))
      assert.equal(lines.length, 1, `${id}: ${lines.length} lines`)
      const { status: logged, outcome, ms } = JSON.parse(lines[0] as string)
      assert.equal(logged, status, id)
      assert.ok(typeof outcome === 'string' && typeof ms === 'number')
    }
  })
})
