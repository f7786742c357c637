/** The note of the database system and timeline in which a receiver has stored. It outlives the receiver, and refuses an old primary. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Facts } from '../src/storage/postgres/facts.ts'
import { Timeline } from '../src/storage/postgres/timeline.ts'
import { scratchDir } from './receiver.ts'

const at = (system: string, timeline: number): Facts => ({ system, timeline }) as Facts

test('after a restart a receiver refuses an old primary and another system, and takes a promoted one', async () => {
  const path = join(scratchDir(), 'timeline.json')
  const first = new Timeline(path)
  assert.equal(first.refusal(at('7123', 1)), undefined)
  await first.stored(at('7123', 2))
  const next = new Timeline(path)
  assert.match(next.refusal(at('7123', 1)) as string, /old primary/)
  assert.match(next.refusal(at('7124', 2)) as string, /another database system/)
  assert.equal(next.refusal(at('7123', 2)), undefined)
  assert.equal(next.refusal(at('7123', 3)), undefined)
  await next.stored(at('7123', 3))
  assert.match(new Timeline(path).refusal(at('7123', 2)) as string, /old primary/)
})

test('a note that cannot be understood ends the start, with what to do', () => {
  const path = join(scratchDir(), 'timeline.json')
  for (const text of ['', '{', '{"system":7123,"timeline":2}', '{"system":"7123","timeline":"2"}']) {
    writeFileSync(path, text)
    assert.throws(() => new Timeline(path), /cannot be understood: restore it, or remove it/, text)
  }
})
