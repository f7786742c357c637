/** The estimate of how far the clock of this machine is from the clocks of the senders. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SenderClock } from '../src/server/sender-clock.ts'

test('of the last twenty posts the one nearest to the clock here counts, and an older one no more', () => {
  const clock = new SenderClock()
  assert.equal(clock.seconds, undefined)
  clock.came(-1_000)
  for (let posts = 0; posts < 19; posts++) clock.came(posts % 2 === 0 ? 5_000 : -6_000)
  assert.equal(clock.seconds, -1)
  clock.came(7_000)
  assert.equal(clock.seconds, 5)
})
