/** Only answers of the receiver count: what each answer means to the PHP client, and which answers it does not accept. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  fixtures,
  forward,
  hubzilla,
  loopback,
  php,
  place,
  refuse,
  scn,
  skip,
  store,
  text,
  token,
  vs,
} from './hubzilla-site.ts'
import { scratchDir } from './receiver.ts'

test('the receiver is found at its unix socket', { skip }, async (t) => {
  const site = place(t)
  const path = join(scratchDir(), 'http.sock')
  await site.start({ SOCKET: path })
  for (const url of [`unix:${path}`, `unix://${path}`]) {
    site.url = url
    const [answer] = await site.submit(scn(url))
    assert.equal(answer?.result, 'stored', answer?.detail)
  }
  site.url = 'unix:/nonexistent/http.sock'
  const [answer] = await site.submit(scn('nobody'))
  assert.deepEqual([answer?.result, answer?.cause, answer?.kept], ['not_reached', 'not reached', true])
})

test('a default Hubzilla posts to the unix socket, from a spool that has the name of the site', {
  skip,
}, async (t) => {
  const site = place(t)
  site.env = hubzilla(site, { baseurl: 'https://Hub.Example.org:8443/sub' })
  const file = join(site.env.HUBZILLA_HOME!, 'settings.json')
  const settings = JSON.parse(readFileSync(file, 'utf8'))
  settings.civic_receiver = {}
  writeFileSync(file, JSON.stringify(settings))
  const [seen] = await site.eval<object>(`
    $say((function () {
      return [$this->url, $this->tokenFile, $this->files->path];
    })->call($civic));
  `)
  assert.deepEqual(seen, [
    'unix:/run/civic-orchestrator/http.sock',
    '/etc/civic-orchestrator/hubzilla_token',
    '/var/spool/civic-orchestrator/hub.example.org_8443_sub',
  ])
})

const page = (status: number) => (t: TestContext) =>
  loopback(t, (_q, _body, r) =>
    r.writeHead(status, { 'content-type': 'text/html' }).end(status === 204 ? '' : '<p>some page</p>'),
  )

test('a status is no refusal and no receipt without a document of the receiver', { skip }, async (t) => {
  const site = place(t)
  for (const status of [200, 201, 204, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 507]) {
    rmSync(site.spool, { recursive: true, force: true })
    site.spool = scratchDir()
    site.at(await page(status)(t))
    const [answer] = await site.submit(scn(`status ${status}`))
    assert.deepEqual([answer?.result, answer?.kept], ['not_reached', true], String(status))
    assert.equal(answer?.cause, 'wrong URL or something in between', String(status))
    assert.deepEqual([site.waiting().length, site.refused().length], [1, 0], String(status))
    const { waits } = await site.status()
    assert.match(waits[0]!.detail, new RegExp(`${status}.*URL is wrong, or something stands in between`))
  }
})

test('a problem document of the receiver refuses or keeps, by its status', { skip }, async (t) => {
  const site = place(t)
  const answers = [
    [400, 'bad-json', 'refused', ''],
    [413, 'body-too-large', 'refused', ''],
    [415, 'content-encoding', 'refused', ''],
    [422, 'bad-envelope', 'refused', ''],
    [401, 'wrong-token', 'not_reached', 'token'],
    [404, 'not-found', 'not_reached', 'wrong URL or something in between'],
    [408, 'body-too-slow', 'not_reached', 'busy'],
    [500, 'internal', 'not_reached', 'busy'],
    [503, 'paused', 'not_reached', 'paused'],
    [503, 'storage-busy', 'not_reached', 'busy'],
    [507, 'disk-full', 'not_reached', 'disk full'],
  ] as const
  for (const [status, name, result, cause] of answers) {
    site.spool = scratchDir()
    site.at(await loopback(t, (_q, _body, r) => refuse(r, status, name)))
    const [answer] = await site.submit(scn(name))
    assert.deepEqual([answer?.result, answer?.kept, answer?.cause], [result, true, cause], name)
    const there = [site.waiting().length, site.refused().length]
    assert.deepEqual(there, result === 'refused' ? [0, 1] : [1, 0], name)
  }
})

test('errors of any form in a foreign answer break no page', { skip }, async (t) => {
  const site = place(t)
  const foreign = ['{"errors":["text"]}', '{"errors":{"a":1}}', '[1]', 'null', '"x"', '{"title":["x"]}']
  let now = ''
  site.at(
    await loopback(t, (_q, _body, r) => r.writeHead(422, { 'content-type': 'application/json' }).end(now)),
  )
  for (now of foreign) {
    const [answer] = await site.submit(scn(now))
    assert.deepEqual([answer?.result, answer?.kept], ['not_reached', true], now)
  }
  // This answer has the receiver's type, but errors that the receiver would not send.
  site.at(
    await loopback(t, (_q, _body, r) => refuse(r, 422, 'bad-envelope', { errors: ['text', { pointer: 1 }] })),
  )
  const [refused] = await site.submit(scn('errors that are none'))
  assert.deepEqual([refused?.result, refused?.errors], ['refused', []])
  const status = await site.status()
  assert.deepEqual([status.waiting, status.refused_count], [foreign.length, 1])
})

test('a redirect is reported and not followed: the token goes only to the configured URL', {
  skip,
}, async (t) => {
  const site = place(t)
  const other = await loopback(t, () => assert.fail('the redirect was followed'))
  for (const status of [301, 302, 303, 307, 308]) {
    site.at(
      await loopback(t, (_q, _body, r) =>
        r.writeHead(status, { location: `http://127.0.0.1:${other}/receive` }).end(),
      ),
    )
    const [answer] = await site.submit(scn(`redirect ${status}`))
    assert.deepEqual([answer?.result, answer?.status, answer?.kept], ['not_reached', status, true])
    assert.match(
      answer!.detail,
      new RegExp(`redirect \\(${status}\\) to http://127\\.0\\.0\\.1:${other}/receive\\. .*set the URL`),
    )
  }
})

test('no proxy of the environment ever sees a token', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const proxy = await loopback(t, () => assert.fail('it went to the proxy'))
  const named = `http://127.0.0.1:${proxy}`
  for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'all_proxy', 'ALL_PROXY'])
    site.env[name] = named
  const [answer] = await site.submit(scn('straight'))
  assert.equal(answer?.result, 'stored', answer?.detail)
})

test("over https the certificate is checked against the CA store of PHP's curl, before the token is sent", {
  skip: skip || (spawnSync('openssl', ['version']).error ? 'openssl is not installed' : false),
}, async (t) => {
  const site = place(t)
  await site.start()
  const receiver = site.port
  const key = join(site.dir, 'key.pem')
  const cert = join(site.dir, 'cert.pem')
  const request = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    key,
    '-out',
    cert,
    '-days',
    '2',
  ]
  const made = spawnSync('openssl', [
    ...request,
    '-subj',
    '/CN=localhost',
    '-addext',
    'subjectAltName=DNS:localhost',
  ])
  assert.equal(made.status, 0, String(made.stderr))
  const tokens: unknown[] = []
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, async (q, r) => {
    tokens.push(q.headers['x-node-token'])
    const body = Buffer.from(await text(q))
    forward(receiver, q, body, (status, answer, type) =>
      r.writeHead(status, { 'content-type': type }).end(answer),
    )
  }).listen(0, 'localhost')
  await once(server, 'listening')
  t.after(() => server.close())
  site.url = `https://localhost:${(server.address() as AddressInfo).port}/receive`
  const [stranger] = await site.submit(scn('to a stranger'))
  assert.deepEqual([stranger?.cause, stranger?.kept, tokens], ['not reached', true, []])
  assert.match(stranger!.detail, /certificate/)
  // An operator adds the CA of the receiver in this way.
  const known = site.program(php, '-d', `curl.cainfo=${cert}`, join(fixtures, 'drive.php'), 'run', 'force')
  known.stdin.end()
  assert.equal(JSON.parse(await text(known.stdout)).waiting, 0)
  assert.deepEqual(tokens, [token])
})

test('an answer that breaks off or never comes keeps the submission', { skip }, async (t) => {
  const site = place(t)
  const receipt = JSON.stringify({ status: 'stored', outcome: 'created' })
  site.at(await loopback(t, (_q, _body, r) => r.destroy()))
  const [never] = await site.submit(scn('never'))
  site.at(
    await loopback(t, (_q, _body, r) => {
      r.writeHead(201, { 'content-length': receipt.length }).write(receipt.slice(0, 20), () => r.destroy())
    }),
  )
  const [cut] = await site.submit(scn('cut'))
  for (const answer of [never, cut])
    assert.deepEqual([answer?.result, answer?.kept, answer?.cause], ['not_reached', true, 'not reached'])
  assert.equal(site.waiting().length, 2)
})

test('an answer without end, or one that fills the memory, is cut off at 256 KiB and believed by nobody', {
  skip,
}, async (t) => {
  const site = place(t)
  const json = { 'content-type': 'application/json' }
  const endless = await loopback(t, (_q, _body, r) => {
    r.writeHead(201, json)
    const more = (): void => {
      while (!r.destroyed && r.write(' '.repeat(65_536)));
    }
    r.on('drain', more)
    more()
  })
  const deep = await loopback(t, (_q, _body, r) => r.writeHead(201, json).end(`[${'[0],'.repeat(500_000)}0]`))
  for (const port of [endless, deep]) {
    site.at(port)
    const [answer] = await site.submit(scn(`port ${port}`))
    assert.deepEqual([answer?.result, answer?.kept, answer?.status], ['not_reached', true, 201])
    assert.equal(answer?.cause, 'wrong URL or something in between')
  }
})

test('a receipt for another submission is not believed: addon, association, participant and id', {
  skip,
}, async (t) => {
  const site = place(t)
  const lies = [
    { addon: 'dsc01' },
    { association_slug: 'other' },
    { participant_id: '22c@5sb-8hm-54v' },
    { status: 'fine' },
  ]
  for (const lie of lies) {
    site.at(await loopback(t, (_q, body, r) => store(r, body, lie)))
    const [answer] = await site.submit(vs(JSON.stringify(lie)))
    assert.deepEqual([answer?.result, answer?.kept], ['not_reached', true], JSON.stringify(lie))
    const [cron] = await site.say<{ waiting: number }>(['run', 'force'])
    assert.equal(cron?.waiting, 1, 'and cron does not believe it either')
  }
  site.at(await loopback(t, (_q, body, r) => store(r, body)))
  assert.equal((await site.submit(vs('the truth')))[0]?.result, 'stored')

  site.port = 0
  await site.start()
  const real = site.port
  site.at(
    await loopback(t, (q, body, r) =>
      forward(real, q, body, (status, text, type) =>
        r.writeHead(status, { 'content-type': type }).end(text.replace(/"id":"./, '"id":"x')),
      ),
    ),
  )
  const [wrongId] = await site.submit(scn('with an id'))
  assert.deepEqual([wrongId?.result, wrongId?.kept], ['not_reached', true])
  assert.match(wrongId!.detail, /id differs/)
  site.at(real)
  assert.equal((await site.run()).waiting, 0)
})

test('text from others is printable and on one line in the answer, the log and the kept reasons', {
  skip,
}, async (t) => {
  const site = place(t)
  const evil = 'a\nLOG 0: forged\r\x1b[31m\u0085\u202e\u2028\x00'
  site.at(
    await loopback(t, (_q, _body, r) =>
      refuse(r, 422, 'bad-envelope', {
        title: evil,
        detail: evil,
        errors: [{ pointer: `/fields/${evil}`, detail: evil }],
      }),
    ),
  )
  const [refused] = await site.submit(scn('x'))
  const { refused: kept } = await site.status()
  for (const told of [JSON.stringify(refused), JSON.stringify(kept), site.log.join('')])
    assert.doesNotMatch(told, /\\[nr]|\\u00|\u0085|\u202e|\u2028|forged\n/)
  assert.equal(site.log.join('').split('\n').length, 2, 'one line')
  assert.match(refused!.errors![0]!.pointer, /^\/fields\/a\?LOG 0: forged\?\?\[31m/)

  // One bad field name is enough, because the receiver repeats it as a pointer.
  site.port = 0
  await site.start()
  const [real] = await site.submit({ ...vs('x'), [`y${evil}`]: 1, receipt: 1 })
  assert.equal(real?.result, 'refused')
  assert.doesNotMatch(JSON.stringify(real), /\\n|\u2028/)
})

for (const [what, content, sentence] of [
  ['missing', undefined, /is missing, or this user cannot read it/],
  ['empty', '\n', /is empty/],
  ['a line of env_file', `NODE_TOKEN=${token}\n`, /begins with NODE_TOKEN=: a whole line of env_file/],
  ['two words', `${token} ${token}`, /holds more than one word/],
] as const) {
  test(`a token file that is ${what} is reported as such, and nothing is posted`, { skip }, async (t) => {
    const site = place(t)
    site.at(await loopback(t, () => assert.fail('nothing may be posted')))
    const file = join(site.dir, 'token')
    if (content === undefined) rmSync(file)
    else writeFileSync(file, content)
    const [answer] = await site.submit(vs('x'))
    assert.deepEqual([answer?.result, answer?.cause, answer?.kept], ['not_reached', 'token', true])
    assert.match(answer!.detail, sentence)
    assert.doesNotMatch(answer!.detail, new RegExp(token))
  })
}

/** A server that accepts connections, counts them and never answers. */
async function hanging(t: TestContext) {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {})
    socket.resume()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { port: (server.address() as { port: number }).port, connections: () => connections }
}

test('after two time-outs in a row the web path spools at once, and one process finds out when it is over', {
  skip,
}, async (t) => {
  const site = place(t)
  const silent = await hanging(t)
  site.at(silent.port)
  await Promise.all([site.submit(scn('first')), site.submit(scn('second'))])
  assert.equal(silent.connections(), 2)
  const [third] = await site.submit(scn('third'))
  assert.deepEqual([third?.result, third?.kept], ['not_reached', true])
  assert.match(third!.detail, /twice in a row/)
  assert.equal(silent.connections(), 2, 'it was not asked again')
  // After the 30 s one of four processes asks the receiver; the others put their envelopes into the spool.
  const breaker = join(site.spool, 'breaker')
  const state = JSON.parse(readFileSync(breaker, 'utf8'))
  writeFileSync(breaker, JSON.stringify({ ...state, until: 1 }))
  const answers = await Promise.all([4, 5, 6, 7].map((n) => site.submit(scn(String(n)))))
  assert.equal(silent.connections(), 3)
  for (const [answer] of answers) assert.equal(answer?.kept, true)

  site.port = 0
  await site.start()
  assert.equal((await site.run()).waiting, 0)
  assert.equal(site.records().length, 7)
  assert.equal((await site.submit(scn('eighth')))[0]?.result, 'stored', 'the breaker is closed')
})

test('before anybody knows that the receiver hangs, two processes wait for it at most, and the others spool', {
  skip,
}, async (t) => {
  const site = place(t)
  const silent = await hanging(t)
  site.at(silent.port)
  const answers = await Promise.all([1, 2, 3, 4].map((n) => site.submit(scn(String(n)))))
  assert.equal(silent.connections(), 2)
  for (const [answer] of answers) {
    assert.deepEqual([answer?.result, answer?.cause, answer?.kept], ['not_reached', 'not reached', true])
  }
  const details = (await site.status()).waits.map(({ detail }) => detail)
  assert.equal(
    details.filter((detail) => /wait for its answer already/.test(detail)).length,
    2,
    details.join('\n'),
  )
  site.port = 0
  await site.start()
  assert.equal((await site.cron()).waiting, 0)
  assert.equal(site.records().length, 4)
})

test('when two processes have waited longer than usual, no other process waits for their places', {
  skip,
}, async (t) => {
  const site = place(t)
  const silent = await hanging(t)
  site.at(silent.port)
  let answered = 0
  const first = [1, 2].map((n) => site.submit(scn(String(n))).then(() => answered++))
  while (silent.connections() < 2) await sleep(20)
  for (const name of ['lock-place-1', 'lock-place-2']) utimesSync(join(site.spool, name), 1, 1)
  const burst = Array.from({ length: 20 }, (_, n) => scn(`of the burst ${n}`))
  for (const { kept, detail } of await site.submit(...burst)) {
    assert.ok(kept)
    assert.match(detail, /wait for its answer already/)
  }
  assert.equal(answered, 0, 'all twenty are in the spool before the first two have given up')
  await Promise.all(first)
})

test('check posts an envelope that is always refused, and says whether the token is right', {
  skip,
}, async (t) => {
  const site = place(t)
  await site.start()
  const check = async () => (await site.eval<[boolean, string]>('$say($civic->check());'))[0]!
  assert.deepEqual(await check(), [
    true,
    'The receiver answers, and it accepts the token. Nothing was stored.',
  ])
  writeFileSync(join(site.dir, 'token'), 'another-token-than-that-of-the-receiver')
  assert.equal((await check())[0], false)
  assert.match((await check())[1], /does not accept the node token/)
})
