/** Which requests get a line in the log: all of them, except most of a flood of refusals without the token. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { teller } from '../src/http/tell.ts'
import { visitOf } from '../src/http/visit.ts'
import { quiet } from './records.ts'

test('of a flood of strangers ten get a line each, one line gives the number of the others, and then it begins anew', async () => {
  const lines: object[] = []
  let summary: (fields: object) => void = () => {}
  const summed = new Promise<object>((resolve) => {
    summary = resolve
  })
  let counted = 0
  const info = (fields: object): void => void ('more' in fields ? summary(fields) : lines.push(fields))
  const { tell, end } = teller({ ...quiet, info }, { answered: () => counted++ })
  for (let n = 0; n < 15; n++) tell(visitOf(undefined), 401, 'unauthorized')
  assert.equal(lines.length, 10)
  tell(visitOf(undefined), 404, 'not-found')
  tell(visitOf(undefined), 200, 'ready')
  for (let n = 0; n < 12; n++) tell({ ...visitOf(undefined), isKnown: true }, 422, 'contract')
  assert.equal(lines.length, 24, 'other kinds, answers and the holder of the token have lines of their own')
  assert.deepEqual(await summed, { status: 401, outcome: 'unauthorized', more: 5 })
  tell(visitOf(undefined), 401, 'unauthorized')
  assert.equal(lines.length, 25)
  assert.equal(counted, 30, 'the metrics count every request')
  end()
})
