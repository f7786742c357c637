/** The canonical form of JSON (RFC 8785), and the ids that are made from it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Json } from '../contracts/contract.ts'
import { draftOf } from '../src/records/batch.ts'
import { utf8 } from '../src/records/bytes.ts'
import { CanonicalWriter, canonicalBytes } from '../src/records/canonical.ts'
import { recordIds } from '../src/records/id.ts'
import { sha256 } from './disk.ts'
import { scn01 } from './receiver.ts'
import { accepted } from './records.ts'

/** Prints with the writer of records and with the code that checks them, which prints most values in another way. */
function canonicalJson(value: Json): string {
  const writer = new CanonicalWriter(64)
  writer.value(value)
  const written = utf8(writer.from(0))
  assert.equal(utf8(canonicalBytes(value)), written)
  return written
}

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

test('names are sorted at every depth, also names such as __proto__', () => {
  for (const [sent, canonical] of [
    ['{"a":[{"b":1,"a":2}]}', '{"a":[{"a":2,"b":1}]}'],
    ['{"a":{"10":1,"9":2}}', '{"a":{"10":1,"9":2}}'],
    ['{"b":1,"__proto__":{"y":1,"x":2}}', '{"__proto__":{"x":2,"y":1},"b":1}'],
    ['{"":1,"a":{}}', '{"":1,"a":{}}'],
  ] as const)
    assert.equal(canonicalJson(JSON.parse(sent)), canonical)
})

test('minus zero is printed as zero', () => assert.equal(canonicalJson([-0]), '[0]'))

test('an id is the SHA-256 of the canonical envelope, whatever its size and order, without the token hash', () => {
  const odd = JSON.parse('{"10":1,"9":2,"\\u20ac":"\\ud83d\\ude00","":null}')
  for (const narrative of ['x', 'é😀\n"', 'ü'.repeat(200_000)]) {
    const record = accepted({ ...odd, ...scn01({ narrative, vs_snapshot: odd }) })
    const { id, opening } = draftOf(record)
    assert.equal(id, sha256(canonicalJson(Object.fromEntries(record.members))))
    const line = JSON.parse(`${utf8(opening)}"receipt":{}}`)
    assert.deepEqual(recordIds(line), [id])
    assert.equal(line.node_token_hash, 'f'.repeat(64))
  }
})

test('every character that JSON escapes is escaped as ECMAScript does it, and no other', () => {
  for (let code = 0; code < 0x2100; code++) {
    for (const length of [1, 60]) {
      const text = `a${String.fromCharCode(code).repeat(length)}b`
      assert.equal(canonicalJson(text), JSON.stringify(text))
    }
  }
})

test('short strings full of escapes are whole wherever the room for the bytes ends', () => {
  for (let before = 0; before < 80; before++) {
    const value = ['x'.repeat(before), ...Array.from({ length: 60 }, () => '"\\'.repeat(40))]
    assert.equal(canonicalJson(value), JSON.stringify(value))
  }
})

test('a draft does not change when the next one is made', () => {
  const first = draftOf(accepted(scn01({ narrative: 'one' })))
  const before = first.opening.slice()
  draftOf(accepted(scn01({ narrative: 'two' })))
  assert.deepEqual(first.opening, before)
})
