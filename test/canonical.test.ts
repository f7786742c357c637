import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalJson, canonicalObject, memberText } from '../src/storage/canonical.ts'

test('the example of RFC 8785, section 3.2.2, comes out as section 3.2.3 prints it', () => {
  const value = JSON.parse(
    '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
  )
  assert.equal(
    canonicalJson(value),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
})

test('keys are sorted by UTF-16 code units, integer-like ones too', () => {
  const value = JSON.parse(
    '{"\\u20ac":1,"\\r":2,"\\ufb33":3,"1":4,"\\ud83d\\ude00":5,"\\u0080":6,"\\u00f6":7,"10":8,"9":9}',
  )
  assert.deepEqual(
    [...canonicalJson(value).matchAll(/:(\d)/g)].map(([, n]) => Number(n)),
    [2, 4, 8, 9, 6, 7, 1, 5, 3],
  )
})

test('minus zero is zero', () => assert.equal(canonicalJson([-0]), '[0]'))

test('a list of members is the object that has them', () => {
  const members = [
    ['b', 1],
    ['10', { z: 1, a: 2 }],
    ['9', null],
  ] as const
  assert.equal(canonicalObject(members.map(memberText)), '{"10":{"a":2,"z":1},"9":null,"b":1}')
})

test('every character that JSON escapes is escaped as ECMAScript does it, and no other', () => {
  for (let code = 0; code < 0x2100; code++) {
    const text = `a${String.fromCharCode(code)}b`
    assert.equal(canonicalJson(text), JSON.stringify(text))
  }
})
