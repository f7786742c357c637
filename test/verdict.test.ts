/** What `verify` makes of what it found: one verdict, the numbers that are missing, and what was not checked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Finding } from '../src/audit/verify/finding.ts'
import { omissions } from '../src/audit/verify/omissions.ts'
import { Ranges } from '../src/audit/verify/ranges.ts'
import { Counts, type Verdict } from '../src/audit/verify/verdict.ts'
import type { Totals } from '../src/audit/verify/whole.ts'

const finding = (kind: string, line?: number): Finding =>
  ({ level: 'finding', path: 'x', kind, line, what: '', meaning: '' }) as Finding
const note = (kind: string): Finding => ({ ...finding(kind), level: 'note' })

test('one finding that says that something was altered decides; what leaves the question open does not', () => {
  const cases: [found: Finding[], isVouchedFor: boolean, verdict: Verdict][] = [
    [[], true, 'whole'],
    [[], false, 'cannot be told'],
    [[note('copied')], true, 'whole'],
    [[note('no receipt')], true, 'cannot be told'],
    [[finding('altered')], true, 'altered'],
    [[finding('no head')], true, 'cannot be told'],
    [[finding('no head'), note('copied')], true, 'cannot be told'],
    [[finding('no head'), finding('altered')], true, 'altered'],
    [[finding('unreadable')], true, 'cannot be told'],
    [[finding('unreadable', 7)], true, 'altered'],
    [[finding('open end', 7)], true, 'cannot be told'],
  ]
  for (const [found, isVouchedFor, verdict] of cases) {
    const counts = new Counts()
    for (const each of found) counts.add(each)
    assert.equal(counts.verdict(isVouchedFor), verdict, found.map(({ kind }) => kind).join())
  }
})

test('numbers that came in any order: which are there, the highest, and the gaps', () => {
  const ranges = new Ranges()
  assert.deepEqual([ranges.highest, ranges.gaps()], [0, []])
  for (const number of [3, 4, 9, 6, 4, 10]) ranges.add(number)
  assert.deepEqual(
    [2, 3, 4, 5, 6, 9, 10, 11].filter((number) => ranges.has(number)),
    [3, 4, 6, 9, 10],
  )
  assert.equal(ranges.highest, 10)
  assert.deepEqual(ranges.gaps(), [
    [1, 2],
    [5, 5],
    [7, 8],
  ])
})

test('what was not checked: receipts that are missing are named, and none where each association has one', () => {
  const checked = { receipts: 2, chainOnly: false, modesChecked: true }
  const totals = { files: 0, withoutReceipt: 0 } as Totals
  assert.deepEqual(omissions(totals, checked), [])
  assert.match(
    String(omissions({ ...totals, withoutReceipt: 1 }, checked)),
    /^the same of 1 association of which/,
  )
  assert.match(
    String(omissions({ ...totals, withoutReceipt: 1 }, { ...checked, receipts: 0 })),
    /^a file that was rewritten/,
  )
})
