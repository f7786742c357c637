/** Cells for a spreadsheet: nothing that a spreadsheet may read as a cell begins with a sign that starts a formula. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cell, row, spread } from '../src/audit/csv.ts'

const signs = ['=', '+', '-', '@', '\uff1d', '\uff0b', '\uff0d', '\uff20']

test('each of the eight signs is made harmless at the beginning and after every character that may separate cells', () => {
  for (const sign of signs) {
    assert.equal(cell(`${sign}1`), `"'${sign}1"`)
    assert.equal(cell(` ${sign}1`), `" '${sign}1"`)
    for (const separator of [';', '|', '\t', '\n', '\r\n'])
      assert.equal(cell(`a${separator}${sign}1`), `"a${separator}'${sign}1"`)
    for (const blanks of [';\t', '\t ', '\n\n', ';"', '\t\r\n'])
      assert.equal(cell(`a${blanks}${sign}1`), `"a${blanks.replace('"', '""')}'${sign}1"`, 'next to the sign')
    assert.equal(cell(`a${sign}1`), `"a${sign}1"`, 'inside a text it is a sign like any other')
  }
})

test('a row is quoted, with its quotes doubled, and ends in CR LF', () => {
  assert.equal(row(['a', 'b "c"', '']), '"a","b ""c""",""\r\n')
})

test('a text is spread over cells without loss, never splits a character, and the rest is reported', () => {
  const digits = Array.from({ length: 31_999 }, (_, n) => n % 10).join('')
  const long = `${digits}😀${digits}`
  assert.equal(spread(long, 3).join(''), long)
  for (const part of spread(long, 3)) assert.ok(part.isWellFormed() && part.length <= 32_000)
  assert.equal(spread('x'.repeat(32_000), 1).join(''), 'x'.repeat(32_000))
  assert.match(spread('x'.repeat(32_007), 1)[0] as string, /x \[cut here: 7 more characters\]$/)
})
