/** The check of `verify` that times of receipt do not run backwards. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Clock } from '../src/audit/verify/clock.ts'

/** A clock that has seen one record for each number, received so many seconds after a fixed time. */
function seen(...seconds: readonly number[]): Clock {
  const clock = new Clock()
  for (const [at, second] of seconds.entries()) {
    const received_at = new Date(Date.UTC(2026, 0, 1) + 1_000 * second).toISOString()
    clock.see({ sequence: at + 1, line: at + 2, received_at } as Parameters<Clock['see']>[0])
  }
  return clock
}

test('a time before that of the previous record is reported with record and line; a correction of a second is not', () => {
  assert.deepEqual(seen(10, 10, 11, 10, 12).findings(), [])
  const found = seen(10, 8, 9).findings()
  assert.deepEqual(
    found.map(({ record, line, kind }) => [record, line, kind]),
    [[2, 3, 'clock']],
  )
})

test('of many times out of order twenty are reported and the others are counted', () => {
  const clock = seen(...Array.from({ length: 24 }, (_, n) => 1_000 - 10 * n))
  const found = clock.findings()
  assert.equal(found.length, 21)
  assert.deepEqual(
    found.slice(0, 20).map(({ record }) => record),
    Array.from({ length: 20 }, (_, n) => n + 2),
  )
  const { what, ...more } = found.at(-1)!
  assert.equal(what, '3 more times of receipt are out of order')
  assert.deepEqual([more.kind, 'record' in more, 'line' in more], ['more', false, false])
})
