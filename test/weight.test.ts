/** One sender of large bodies does not stop the others. A body that does not fit into memory is refused before it is parsed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Scale, Turns } from '../src/http/weight.ts'
import { scn01, startReceiver, token, vs01 } from './receiver.ts'

test('a scale admits bodies that fit in order of arrival, and a single body of any size', async () => {
  const scale = new Scale(100)
  const whole = await scale.admit(1_000)
  assert.ok(whole)
  const order: string[] = []
  const enter = async (name: string, bytes: number) => {
    const release = await scale.admit(bytes)
    order.push(name)
    return release
  }
  const waiting = [enter('first', 80), enter('second', 30), enter('third', 20)]
  whole()
  const first = await waiting[0]
  assert.deepEqual(order, ['first'], 'the third would fit, but the second was there before')
  first?.()
  first?.()
  for (const release of await Promise.all(waiting.slice(1))) release?.()
  assert.deepEqual(order, ['first', 'second', 'third'])
  // The second release above counted for nothing, so two bodies of 60 do not fit together.
  assert.ok(await scale.admit(60))
  assert.equal(await scale.admit(60), undefined, 'there was no room within a second')
  assert.ok(await scale.admit(40), "who gave up stands in nobody's way")
})

test('a body that was admitted does not remove a waiting one when its own time limit would have ended', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const scale = new Scale(100)
  const first = await scale.admit(100)
  const second = scale.admit(100)
  first?.()
  const release = await second
  t.mock.timers.tick(500)
  const third = scale.admit(100)
  // At this time the second one would have given up, and the third one has not.
  t.mock.timers.tick(700)
  release?.()
  assert.ok(await third)
})

test('bodies are parsed one after another, and other work is done in between', async () => {
  const turns = new Turns()
  const order: string[] = []
  const heavy = async (name: string): Promise<void> => {
    const end = await turns.take()
    order.push(name)
    end()
  }
  const both = [heavy('first'), heavy('second')]
  await both[0]
  await new Promise((resolve) => setImmediate(resolve))
  order.push('between')
  await Promise.all(both)
  assert.deepEqual(order, ['first', 'between', 'second'])
})

const megabyte = 1_048_576
/** An envelope of a whole megabyte with this number of values. */
function heavy(n: number, values: number, filler: string): string {
  const list = Array.from({ length: values }, () => filler).join()
  const text = JSON.stringify(scn01({ narrative: `heavy ${n}`, extra: '?', long: '' })).replace(
    '"?"',
    `[${list}]`,
  )
  const long = 'x'.repeat(Math.max(0, megabyte - text.length))
  return text.replace('"long":""', `"long":"${long}"`)
}

/** The number of answers by status. Checks that each 503 says when to try again. */
async function statuses(answers: readonly Promise<Response>[]): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  for (const answer of await Promise.all(answers)) {
    if (answer.status === 503) assert.ok(answer.headers.has('retry-after'))
    await answer.arrayBuffer()
    found.set(answer.status, (found.get(answer.status) ?? 0) + 1)
  }
  return found
}

test('64 senders of bodies at the limit, and another one whose posts are all stored', async () => {
  const receiver = await startReceiver()
  for (const [values, taken] of [
    [340_000, 400],
    [40_000, 201],
  ] as const) {
    const answers = Array.from({ length: 64 }, (_, n) => receiver.post(heavy(n, values, '{}')))
    const all = statuses(answers)
    let isOver = false
    void all.finally(() => {
      isOver = true
    })
    for (let n = 0; n < 8 || !isOver; n++) {
      const response = await receiver.post(vs01({ fields: { n } }))
      assert.ok(response.ok, `${response.status} for a small post`)
      await response.arrayBuffer()
    }
    const found = await all
    assert.ok((found.get(taken) ?? 0) > 0, [...found.entries()].join(' '))
    assert.deepEqual(
      [...found.keys()].filter((status) => status !== taken && status !== 503),
      [],
    )
  }
  await receiver.stop()
})

test('a chunked body is weighed as it grows, and a sender that stalls holds only large ones up', async () => {
  const receiver = await startReceiver()
  const stalled = new AbortController()
  const body = () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode(' '.repeat(100_000))),
    })
  const held = Array.from({ length: 20 }, () =>
    fetch(`${receiver.url}/receive`, {
      method: 'POST',
      headers: { 'x-node-token': token },
      body: body(),
      duplex: 'half',
      signal: stalled.signal,
    } as RequestInit).then(
      ({ status }) => status,
      () => 'ended',
    ),
  )
  const first = await Promise.race(held)
  assert.equal(first, 503, 'sixteen fit')
  assert.ok((await receiver.post(scn01())).ok)
  stalled.abort()
  await Promise.all(held)
  const after = async (): Promise<number> => (await receiver.post(heavy(1, 10, '1'))).status
  let status = await after()
  for (let tries = 0; tries < 20 && status === 503; tries++) status = await after()
  assert.equal(status, 201, 'what ended is weighed no more')
  await receiver.stop()
})
