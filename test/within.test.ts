/** Work with a time limit: the result, or a given value when there is no result in time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { within } from '../src/http/within.ts'

const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

test('the result or error of the work is passed on, and no timer is left', async () => {
  const before = timers()
  assert.equal(await within(60_000, 'late', Promise.resolve('in time')), 'in time')
  await assert.rejects(within(60_000, 'late', Promise.reject(new Error('no'))), /no/)
  assert.equal(timers(), before)
})

test('work without a result in time is not waited for, and may fail later', async () => {
  let fail: (error: Error) => void = () => {}
  const work = new Promise<string>((_resolve, reject) => {
    fail = reject
  })
  assert.equal(await within(1, 'late', work), 'late')
  fail(new Error('afterwards'))
  await new Promise(setImmediate)
})
