/** Which texts can be a node token: the shortest one, its characters, and what is too easy to guess for production. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tokenMistake, weakness } from '../src/server/token-rule.ts'

test('a token has at least 32 printable characters, and no blank at an end', () => {
  assert.equal(tokenMistake('a'.repeat(32)), undefined)
  assert.equal(tokenMistake(`a${' '.repeat(30)}~`), undefined)
  assert.match(tokenMistake('a'.repeat(31)) as string, /at least 32 characters/)
  for (const text of [
    ` ${'a'.repeat(32)}`,
    `${'a'.repeat(32)} `,
    `${'a'.repeat(32)}é`,
    `a\n${'a'.repeat(32)}`,
  ])
    assert.match(tokenMistake(text) as string, /printable ASCII/)
})

test('in production a token has at least 8 different characters', () => {
  assert.equal(weakness('abcdefgh'.repeat(4)), undefined)
  assert.match(weakness('abcdefg'.repeat(5)) as string, /at least 8 different characters/)
})
