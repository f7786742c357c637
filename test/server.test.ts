/** The rim, over real sockets against a real receiver: what HTTP allows, what it does not, and what only looks like it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Receiver, scn01, scratchDir, startReceiver, token, vs01 } from './receiver.ts'
import { type Answer, head, request, type Wire, wire } from './wire.ts'

const wrong = 'wrong-token-'.padEnd(40, 'w')
const chunked = { 'transfer-encoding': 'chunked' }
const chunk = (text: string, extension = '') =>
  `${Buffer.byteLength(text).toString(16)}${extension}\r\n${text}\r\n`
const text = JSON.stringify(vs01())

/** Checks the RFC 9457 shape and gives the problem's name. */
function problemIn(answer: Answer): string {
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  const { type, title, status, detail, instance } = answer.json()
  assert.equal(status, answer.status)
  assert.equal(instance, answer.headers['x-request-id'])
  assert.ok(title && detail)
  return /^urn:civic-orchestrator:problem:([a-z-]+)$/.exec(String(type))?.[1] ?? assert.fail(String(type))
}

let receiver: Receiver
before(async () => {
  receiver = await startReceiver()
  await receiver.post(vs01())
})
after(() => receiver.stop())

/** One connection, one write, one answer. */
async function answerTo(sent: string, options?: { bodiless?: boolean; url?: string }): Promise<Answer> {
  const line = await wire(options?.url ?? receiver.url)
  line.send(sent)
  const answer = await line.answer(options)
  line.socket.destroy()
  return answer
}

async function refusalOf(sent: string): Promise<[number, string]> {
  const answer = await answerTo(sent)
  return [answer.status, problemIn(answer)]
}

describe('a body', { concurrency: true }, () => {
  test('is not waited for when the token is wrong', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'x-node-token': wrong, 'content-length': 1000 }))
    const answer = await line.answer({ withinMs: 2_000 })
    assert.equal(answer.status, 401)
    assert.equal(answer.headers['www-authenticate'], 'NodeToken realm="civic-orchestrator"')
    line.socket.destroy()
  })

  test('that nobody will read ends the connection sooner or later, and costs no other request', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'x-node-token': wrong, 'content-length': 900_000_000 }))
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
      `${chunk(text)}0\r\nX-Trailer: t\r\nx-node-token: ${wrong}\r\n\r\n`,
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

  test('that is over the limit and ends costs no request that follows on the connection', async () => {
    const line = await wire(receiver.url)
    line.send(`${head(chunked)}${chunk('x'.repeat(4_000)).repeat(300)}0\r\n\r\n`)
    assert.equal((await line.answer({ withinMs: 3_000 })).status, 413)
    line.send(request(vs01()))
    assert.equal((await line.answer()).status, 200)
    line.socket.destroy()
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
    for (const type of ['application/x-www-form-urlencoded', 'text/xml; charset=utf-16', '\t']) {
      assert.equal((await answerTo(request(vs01(), { 'content-type': type }))).status, 200)
    }
  })

  test('is not read when it is encoded', async () => {
    const line = await wire(receiver.url)
    line.send(head({ 'content-length': 100, 'content-encoding': 'gzip' }))
    const answer = await line.answer({ withinMs: 2_000 })
    assert.deepEqual([answer.status, problemIn(answer)], [415, 'content-encoding'])
    line.socket.destroy()
  })
})

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
      [401, { 'x-node-token': wrong }],
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

  test('of anything else cannot be met', async () => {
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
      [request(vs01(), { 'x-node-token': wrong }), 401],
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
    // of its own, since refusals without the token share their lines when there are many in a second
    const receiver = await startReceiver()
    await receiver.post(vs01())
    const asks: [string, number, string][] = [
      ['stored', 200, request(vs01())],
      ['elsewhere', 404, head({}, 'GET /elsewhere HTTP/1.1')],
      ['untrusted', 401, request(vs01(), { 'x-node-token': wrong })],
      ['expecting', 417, request(vs01(), { expect: 'a-miracle' })],
      ['tunnel', 405, head({}, 'CONNECT example.org:443 HTTP/1.1')],
      ['no-host', 400, request(vs01(), { host: null })],
      ['bad-target', 400, request(vs01(), {}, 'POST ftp://x/receive HTTP/1.1')],
      ['bad-chunk', 400, `${head(chunked)}zz\r\n`],
    ]
    for (const [id, status, sent] of asks) {
      const answer = await answerTo(
        sent
          .replace('host: ', `x-request-id: ${id}\r\nhost: `)
          .replace(/^([A-Z]+ [^\r]+\r\n)(?!x-request-id)(?=x-node-token)/, `$1x-request-id: ${id}\r\n`),
        { url: receiver.url },
      )
      assert.deepEqual([answer.headers['x-request-id'], answer.status], [id, status])
    }
    const nonsense = await answerTo('NONSENSE\r\n\r\n', { url: receiver.url })
    const large = await answerTo(head({ filler: 'x'.repeat(17_000) }), { url: receiver.url })
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

describe('a receipt', { concurrency: true }, () => {
  const now = () => ({ submitted_at: new Date().toISOString() })
  const sha256 = (what: string) => createHash('sha256').update(what).digest('hex')

  test('of an appended record tells the line that is on disk, and a retry gets the same one', async () => {
    const envelopes = ['one', 'two'].map((narrative) =>
      scn01({ association_slug: 'receipts', narrative, ...now() }),
    )
    const answers = []
    for (const envelope of [...envelopes, ...envelopes]) answers.push(await answerTo(request(envelope)))
    const lines = readFileSync(join(receiver.dataDir, 'scn01/receipts/records.json'), 'utf8').split('\n')
    assert.deepEqual([lines.length, lines[0], lines[3], lines[4]], [5, '[', ']', ''])
    const stored = lines.slice(1, 3).map((line) => line.replace(/,$/, ''))

    answers.forEach((answer, n) => {
      const index = n % 2
      const record = JSON.parse(stored[index] as string)
      assert.equal(answer.status, n < 2 ? 201 : 200)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.deepEqual(answer.json(), {
        status: 'stored',
        outcome: n < 2 ? 'appended' : 'duplicate',
        addon: 'scn01',
        association_slug: 'receipts',
        participant_id: 'SASE1-22c-at-5sb-8hm-54v',
        received_at: record.receipt.received_at,
        id: record.receipt.id,
        sequence: index + 1,
        record_sha256: sha256(stored[index] as string),
        previous_sha256: index === 0 ? '0'.repeat(64) : sha256(stored[0] as string),
      })
      assert.equal(record.node_token_hash, sha256(token))
    })
  })

  test('of an overwritten record tells which it was: created, then replaced', async () => {
    for (const [status, outcome] of [
      [201, 'created'],
      [200, 'replaced'],
      [200, 'replaced'],
    ] as const) {
      const envelope = vs01({ association_slug: 'overwritten', ...now(), fields: { at: Math.random() } })
      const answer = await answerTo(request(envelope))
      assert.equal(answer.status, status)
      const path = join(receiver.dataDir, 'vs01/overwritten/SASE1-22c-at-5sb-8hm-54v.json')
      const { receipt, ...stored } = JSON.parse(readFileSync(path, 'utf8'))
      assert.deepEqual(stored, envelope)
      assert.deepEqual(answer.json(), {
        status: 'stored',
        outcome,
        addon: 'vs01',
        association_slug: 'overwritten',
        participant_id: 'SASE1-22c-at-5sb-8hm-54v',
        received_at: receipt.received_at,
      })
      assert.deepEqual(Object.keys(receipt), ['received_at'])
    }
  })
})

describe('a receiver of its own', { concurrency: 4 }, () => {
  const own = async (
    env: Record<string, string>,
    story: (receiver: Receiver) => Promise<void>,
    command?: readonly string[],
  ) => {
    const started = await startReceiver(env, command)
    try {
      await story(started)
    } finally {
      await started.stop('SIGKILL')
    }
  }
  const ready = async (at: Receiver) => {
    const response = await fetch(`${at.url}/ready`)
    return [response.status, await response.json()] as [number, Record<string, unknown>]
  }

  test('takes 256 requests at a time, refuses the next ones, and takes more as soon as it can', () =>
    own({}, async (busy) => {
      const lines = await Promise.all(Array.from({ length: 256 }, () => wire(busy.url)))
      for (const line of lines) line.send(head({ 'content-length': text.length, expect: '100-continue' }))
      for (const line of lines) assert.equal((await line.answer()).status, 100)
      for (const expect of [null, '100-continue']) {
        const answer = await answerTo(head({ 'content-length': text.length, expect }), { url: busy.url })
        assert.deepEqual([answer.status, problemIn(answer)], [503, 'too-many-requests-in-flight'])
        assert.equal(answer.headers['retry-after'], '1')
      }
      assert.equal((await busy.post('{', { 'x-node-token': wrong })).status, 401, 'the token comes first')
      lines[0]!.send(text)
      assert.equal((await lines[0]!.answer()).status, 201)
      assert.equal((await busy.post(vs01())).status, 200)
      // not stored: 255 writes of one file in turn could take longer than an answer may
      for (const line of lines.slice(1)) line.send('{}'.padEnd(text.length))
      // on a busy machine a body may be too late; each is answered
      for (const line of lines.slice(1))
        assert.ok([422, 408, 503].includes((await line.answer({ withinMs: 30_000 })).status))
      for (const line of lines) line.socket.destroy()
    }))

  test('closes at once when the operator pauses it, says why, and opens at once', () =>
    own({}, async (pausable) => {
      const path = join(pausable.dataDir, '.paused')
      const line = await wire(pausable.url)
      const answerNow = async (changes = {}) => {
        line.send(request(vs01(), changes))
        return line.answer()
      }
      assert.equal((await answerNow()).status, 201)
      writeFileSync(path, 'a move to another disk\u0007\nsecond line\n')
      const paused = await answerNow()
      assert.deepEqual([paused.status, problemIn(paused)], [503, 'paused'])
      assert.equal(paused.headers['retry-after'], '60')
      assert.match(paused.body, /a move to another disk/)
      assert.doesNotMatch(paused.body, /second line|\\u0007/)
      const [status, body] = await ready(pausable)
      assert.equal(status, 503)
      assert.deepEqual(body.reasons, ['paused: a move to another disk'])
      assert.equal((await fetch(`${pausable.url}/health`)).status, 200)
      assert.equal((await answerNow({ 'x-node-token': wrong })).status, 401, 'the token comes first')
      assert.equal((await answerNow({ 'content-encoding': 'gzip' })).status, 503, 'before the encoding')

      const asking = await wire(pausable.url)
      asking.send(head({ 'content-length': 10, expect: '100-continue' }))
      const notAsked = await asking.answer()
      assert.deepEqual([notAsked.status, notAsked.headers.connection], [503, 'close'])
      assert.equal(await asking.closed(), '')

      for (const content of ['', '\n\n', '\n second']) {
        writeFileSync(path, content)
        assert.match((await answerNow()).body, /no reason was given/)
      }
      rmSync(path)
      assert.equal((await answerNow()).status, 200)
      mkdirSync(path)
      const closed = await answerNow()
      assert.deepEqual([closed.status, problemIn(closed)], [503, 'paused'], 'what cannot be read closes it')
      assert.equal((await ready(pausable))[0], 503)
      rmSync(path, { recursive: true })
      assert.deepEqual([(await answerNow()).status, (await ready(pausable))[0]], [200, 200])
      line.socket.destroy()
    }))

  test('names a damaged association in /ready, refuses it and leaves it alone, and goes on with the others', () =>
    own({}, async (damaged) => {
      for (const narrative of ['a', 'b']) await damaged.post(scn01({ narrative }))
      await damaged.stop()
      const path = join(damaged.dataDir, 'scn01/heron-ridge/records.json')
      const flipped = readFileSync(path)
      flipped[40]! ^= 1
      writeFileSync(path, flipped)
      await own({ DATA_DIR: damaged.dataDir }, async (again) => {
        const refused = await again.post(scn01({ narrative: 'c' }))
        assert.equal(refused.status, 503)
        assert.equal(refused.headers.get('retry-after'), '300')
        assert.match((await refused.json()).type, /records-refused$/)
        assert.deepEqual(readFileSync(path), flipped)
        assert.equal((await again.post(scn01({ association_slug: 'elm-court' }))).status, 201)
        assert.equal((await again.post(vs01())).status, 201)
        assert.deepEqual(await ready(again), [
          200,
          {
            status: 'ready',
            refused_associations: ['scn01/heron-ridge'],
            locked_associations: [],
            reading_associations: [],
          },
        ])
        assert.match(again.output(), /"level":60.*heron-ridge/)
      })
    }))

  test('is not ready when its data directory is gone, says so, and comes back with it', () =>
    own({}, async (homeless) => {
      rmSync(homeless.dataDir, { recursive: true })
      const [status, body] = await ready(homeless)
      assert.equal(status, 503)
      assert.match(String(body.reasons), /data directory/)
      for (const envelope of [vs01(), scn01()]) {
        const answer = await homeless.post(envelope)
        assert.equal(answer.status, 503)
        assert.match((await answer.json()).type, /storage-failure$/)
      }
      mkdirSync(homeless.dataDir)
      // free space is asked for four times a second
      await delay(300)
      assert.equal((await ready(homeless))[0], 200)
      for (const envelope of [vs01(), scn01()]) assert.equal((await homeless.post(envelope)).status, 201)
    }))

  test('is not ready when it may not write its data directory', async () => {
    const dataDir = scratchDir()
    chmodSync(dataDir, 0o555)
    const isRoot = process.getuid?.() === 0
    const drop = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : []
    const command = [...drop, process.execPath, '--import', 'tsx', 'src/main.ts']
    await own(
      { DATA_DIR: dataDir, HOME: '/' },
      async (powerless) => {
        const [status, body] = await ready(powerless)
        assert.equal(status, 503)
        assert.match(String(body.reasons), /cannot be read and written/)
        for (const envelope of [vs01(), scn01()]) assert.equal((await powerless.post(envelope)).status, 503)
        chmodSync(dataDir, 0o777)
        assert.equal((await ready(powerless))[0], 200)
        for (const envelope of [vs01(), scn01()]) assert.equal((await powerless.post(envelope)).status, 201)
      },
      command,
    )
  })

  test('refuses with 507 below its least free space, before it touches anything', () =>
    own({ MIN_FREE_BYTES: String(Number.MAX_SAFE_INTEGER) }, async (full) => {
      for (const envelope of [vs01(), scn01()]) {
        const answer = await full.post(envelope)
        assert.equal(answer.status, 507)
        assert.equal(answer.headers.get('retry-after'), '60')
        assert.match((await answer.json()).type, /disk-full$/)
      }
      assert.equal((await full.post('{}')).status, 422, 'a bad envelope is told first')
      assert.deepEqual(readdirSync(full.dataDir), [])
      const [status, body] = await ready(full)
      assert.equal(status, 503)
      assert.match(String(body.reasons), /MIN_FREE_BYTES/)
    }))

  test('keeps to the limit it was given', () =>
    own({ MAX_BODY_BYTES: '300' }, async (small) => {
      assert.equal((await small.post(text.padEnd(300))).status, 201)
      const answer = await small.post(text.padEnd(301))
      assert.equal(answer.status, 413)
      assert.match((await answer.json()).detail, /300 bytes/)
    }))

  for (const umask of ['000', '077', '777']) {
    test(`writes files 0640 and directories 2750 when it is started with umask ${umask}`, async () => {
      const dataDir = join(scratchDir(), 'below', 'data')
      const shell = ['sh', '-c', `umask ${umask}; exec ${process.execPath} --import tsx src/main.ts`]
      await own(
        { DATA_DIR: dataDir },
        async (strange) => {
          await strange.post(vs01())
          await strange.post(scn01())
          await strange.post(scn01({ narrative: 'y' }))
          const mode = (path: string) => (statSync(join(dataDir, path)).mode & 0o7777).toString(8)
          for (const path of ['', 'vs01', 'vs01/heron-ridge', 'scn01', 'scn01/heron-ridge']) {
            assert.equal(mode(path), '2750', path)
          }
          for (const path of [
            'vs01/heron-ridge/SASE1-22c-at-5sb-8hm-54v.json',
            'scn01/heron-ridge/records.json',
            'scn01/heron-ridge/.records.head.json',
          ]) {
            assert.equal(mode(path), '640', path)
          }
        },
        shell,
      )
    })
  }
})
