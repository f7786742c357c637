/** Reaching the limit of open files (`ulimit -n`) is no disk error. No connection is reset, and nothing is lost. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFilesShared } from '../src/server/open-files.ts'
import { receiverCommand } from './bundle.ts'
import { chainOf, recordsPath } from './disk.ts'
import { allowNoFurtherFile, limitFiles } from './open-files.ts'
import { scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'
import { stored, storeIn } from './records.ts'
import { head, request, type Wire, wire } from './wire.ts'

const notStored = 'urn:civic-orchestrator:problem:too-many-open-files'

async function ready(line: Wire): Promise<{ status: number; reasons: unknown }> {
  line.send(head({}, 'GET /ready HTTP/1.1'))
  const answer = await line.answer()
  return { status: answer.status, reasons: answer.json().reasons }
}

test('a receiver that may open no further file says so, and goes on when it may', async () => {
  const receiver = await startReceiver()
  const line = await wire(receiver.url)
  for (const envelope of [vs01(), scn01()]) {
    line.send(request(envelope))
    assert.equal((await line.answer()).status, 201)
  }
  allowNoFurtherFile(receiver)
  for (const envelope of [vs01(), scn01({ association_slug: 'elm-court' })]) {
    line.send(request(envelope))
    const answer = await line.answer()
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '10'])
    assert.equal(answer.json().type, notStored)
  }
  assert.deepEqual(await ready(line), {
    status: 503,
    reasons: ['this process may open no further file; see LimitNOFILE in its unit, or ulimit -n'],
  })
  assert.equal(existsSync(join(receiver.dataDir, 'scn01/elm-court')), false)
  limitFiles(receiver, 1_024)
  for (const [envelope, status] of [
    [vs01(), 200],
    [scn01({ association_slug: 'elm-court' }), 201],
  ] as const) {
    line.send(request(envelope))
    assert.equal((await line.answer()).status, status)
  }
  assert.equal((await ready(line)).status, 200)
  line.socket.destroy()
  await receiver.stop()
  assert.match(receiver.output(), /"msg":"no further file can be opened"/)
  assert.doesNotMatch(receiver.output(), /disk reported|storing failed/)
})

test('with few files allowed, more senders than that are all answered, and all their records are stored', async () => {
  const receiver = await startReceiver({}, ['prlimit', '--nofile=128:128', ...receiverCommand])
  const strangers = await Promise.all(Array.from({ length: 100 }, () => wire(receiver.url)))
  let told = 0
  const stored = async (name: number): Promise<void> => {
    for (;;) {
      const line = await wire(receiver.url)
      line.send(request(scn01({ association_slug: `court-${name}` })))
      const answer = await line.answer()
      line.socket.destroy()
      if (answer.status === 201) return
      assert.equal(answer.status, 503, answer.body)
      assert.ok(Number(answer.headers['retry-after']) > 0)
      told++
    }
  }
  await Promise.all(Array.from({ length: 200 }, (_, name) => stored(name)))
  assert.ok(told > 0, 'there was no shortage')
  for (const { socket } of strangers) socket.destroy()
  await receiver.stop()
  for (let name = 0; name < 200; name++)
    assert.equal(chainOf(recordsPath(receiver.dataDir, `court-${name}`)).length, 1)
  assert.match(receiver.output(), /"files":128,.*"msg":"few files may be open at once/)
  assert.doesNotMatch(receiver.output(), /disk reported|storing failed/)
})

test('connections, requests and associations together need fewer files than the limit', () => {
  for (const most of [64, 100, 256, 1_024, 4_096, 16_384, 1_048_576]) {
    const { connections, inFlight, associations } = openFilesShared(most)
    assert.ok(connections + 3 * inFlight + 2 * associations < most - 28, `${most}`)
    assert.ok(connections >= 8 && inFlight >= 2 && associations >= 1, `${most}`)
  }
  assert.deepEqual(openFilesShared(16_384), { connections: 3_072, inFlight: 256, associations: 1_000 })
  assert.deepEqual(openFilesShared(undefined), openFilesShared(16_384))
})

test('a store that is closed has no file open', async () => {
  const openNow = (): number => readdirSync('/proc/self/fd').length
  const run = async (): Promise<void> => {
    const store = storeIn(scratchDir())
    for (let n = 0; n < 20; n++) {
      await stored(store, scn01({ association_slug: `house-${n}` }))
      await stored(store, vs01({ association_slug: `house-${n}` }))
    }
    await store.close()
  }
  // The first run loads what the process keeps.
  await run()
  const before = openNow()
  await run()
  assert.ok(openNow() < before + 10, `${openNow()} after ${before}`)
})
