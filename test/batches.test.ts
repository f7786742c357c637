/** The queue of the PostgreSQL store: invariants 1 and 2 of src/storage/postgres/batches.ts. Needs no database. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Answer } from '../src/storage/postgres/answers.ts'
import { Batches, type Waiting } from '../src/storage/postgres/batches.ts'

type Held = { readonly keys: readonly string[]; readonly end: () => void }

/** A queue whose batches end when the test says so. `next` resolves with the batch that is sent next. */
function held() {
  const sent: Held[] = []
  const wanted: ((batch: Held) => void)[] = []
  const batches = new Batches<Waiting>(
    (batch) =>
      new Promise((resolve) => {
        const end = (): void => {
          for (const { answer } of batch) answer.fail('busy')
          resolve()
        }
        const one = { keys: batch.map(({ key }) => key), end }
        const want = wanted.shift()
        if (want) want(one)
        else sent.push(one)
      }),
  )
  return {
    put: (...keys: readonly string[]): void => {
      const bytes = new Uint8Array(1)
      for (const key of keys) batches.put({ key, bytes, answer: new Answer(performance.now() + 60_000) })
    },
    next: (): Promise<Held> => {
      const one = sent.shift()
      return one ? Promise.resolve(one) : new Promise((resolve) => wanted.push(resolve))
    },
  }
}

test('invariants 1 and 2: while a batch is held up, others are sent, but none of its keys', async () => {
  const { put, next } = held()
  put('a', 'b', 'a')
  const first = await next()
  assert.deepEqual(first.keys, ['a', 'b', 'a'])
  put('a', 'c', 'b', 'd')
  const second = await next()
  assert.deepEqual(second.keys, ['c', 'd'])
  put('c')
  first.end()
  const third = await next()
  assert.deepEqual(
    third.keys,
    ['a', 'b'],
    'what waited for the first batch, and not what waits for the second',
  )
  third.end()
  second.end()
  const fourth = await next()
  assert.deepEqual(fourth.keys, ['c'])
  fourth.end()
})
