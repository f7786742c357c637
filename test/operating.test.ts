/** A receiver on a full disk, paused, with a damaged file, without its directory, with a limit, or with a umask. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { receiverCommand } from './bundle.ts'
import { isRoot } from './needs.ts'
import { type Receiver, scn01, scratchDir, startReceiver, vs01, wrongToken } from './receiver.ts'
import { answerAt, head, problemIn, request, wire } from './wire.ts'

const text = JSON.stringify(vs01())

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
        const answer = await answerAt(busy.url, head({ 'content-length': text.length, expect }))
        assert.deepEqual([answer.status, problemIn(answer)], [503, 'too-many-requests-in-flight'])
        assert.equal(answer.headers['retry-after'], '1')
      }
      assert.equal(
        (await busy.post('{', { 'x-node-token': wrongToken })).status,
        401,
        'the token comes first',
      )
      lines[0]!.send(text)
      assert.equal((await lines[0]!.answer()).status, 201)
      assert.equal((await busy.post(vs01())).status, 200)
      // These bodies are not stored, because 255 writes of one file in turn could take longer than an answer may.
      for (const line of lines.slice(1)) line.send('{}'.padEnd(text.length))
      // On a busy machine a body may come too late, but each request is answered.
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
      assert.equal((await answerNow({ 'x-node-token': wrongToken })).status, 401, 'the token comes first')
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
        await again.stop()
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
      // The receiver asks for the free space four times a second.
      await delay(300)
      assert.equal((await ready(homeless))[0], 200)
      for (const envelope of [vs01(), scn01()]) assert.equal((await homeless.post(envelope)).status, 201)
    }))

  test('is not ready when it may not write its data directory', async () => {
    const dataDir = scratchDir()
    chmodSync(dataDir, 0o555)
    const drop = isRoot ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : []
    const command = [...drop, ...receiverCommand]
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

  test('keeps to MAX_BODY_BYTES', () =>
    own({ MAX_BODY_BYTES: '300' }, async (small) => {
      assert.equal((await small.post(text.padEnd(300))).status, 201)
      const answer = await small.post(text.padEnd(301))
      assert.equal(answer.status, 413)
      assert.match((await answer.json()).detail, /300 bytes/)
    }))

  for (const umask of ['000', '077', '777']) {
    test(`writes files 0640 and directories 2750 when it is started with umask ${umask}`, async () => {
      const dataDir = join(scratchDir(), 'below', 'data')
      const shell = ['sh', '-c', `umask ${umask}; exec ${receiverCommand.join(' ')}`]
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
