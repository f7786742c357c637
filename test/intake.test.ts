/** From bytes to one JSON object: which bodies are refused, and which values are kept exactly as they were sent. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { intake } from '../src/envelope/intake.ts'

type Source = string | readonly number[] | Uint8Array

const bytesOf = (source: Source) =>
  typeof source === 'string' ? new TextEncoder().encode(source) : Uint8Array.from(source)

function taken(source: Source) {
  const result = intake(bytesOf(source))
  assert.ok(result.ok, `refused: ${JSON.stringify(result)}`)
  return result
}

function refused(source: Source) {
  const result = intake(bytesOf(source))
  assert.ok(!result.ok, `taken: ${typeof source === 'string' ? source.slice(0, 80) : source}`)
  return result
}

const placesIn = (source: Source) => (refused(source).errors ?? []).map(({ pointer }) => pointer)
const foundIn = (source: Source) => taken(source).found.map(({ pointer }) => pointer)
const nested = (levels: number, open = '[', close = ']') => open.repeat(levels) + close.repeat(levels)

test('says that an empty body is empty', () => {
  assert.match(refused('').detail, /empty.*json_encode returned false/)
})

test('refuses a body that is not UTF-8, in every way in which it can be invalid', () => {
  const quoted = (...inside: number[]) => [...bytesOf('{"a":"'), ...inside, ...bytesOf('"}')]
  for (const [what, ...bytes] of [
    ['a lone continuation', 0x80],
    ['Latin-1', 0xe9],
    ['a cut sequence', 0xe2, 0x82],
    ['an overlong slash', 0xc0, 0xaf],
    ['an overlong zero', 0xe0, 0x80, 0x80],
    ['a surrogate', 0xed, 0xa0, 0x80],
    ['a surrogate pair in CESU-8', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80],
    ['beyond Unicode', 0xf4, 0x90, 0x80, 0x80],
    ['a byte that is never there', 0xff],
  ] as [string, ...number[]][]) {
    assert.match(refused(quoted(...bytes)).detail, /not UTF-8/, what)
  }
  assert.match(refused([0xff, 0xfe, 0x7b, 0, 0x7d, 0]).detail, /not UTF-8/)
  assert.match(refused([...bytesOf('{}'), 0xe2]).detail, /not UTF-8/)
})

test('refuses a byte order mark at the start, and keeps one inside a string', () => {
  assert.match(refused([0xef, 0xbb, 0xbf, ...bytesOf('{}')]).detail, /byte order mark/)
  assert.equal(taken('{"a":"\ufeffx"}').value.a, '\ufeffx')
})

test('refuses a body that is not JSON, even if some readers would accept it', () => {
  for (const text of [
    '{',
    '{}}',
    '{} {}',
    '{}x',
    '{"a":1,}',
    "{'a':1}",
    '{a:1}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":undefined}',
    '{"a":01}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":0x10}',
    '{"a":"\n"}',
    '{"a":"\\x41"}',
    '{"a":"\\u12"}',
    '{"a":tru}',
    '{"a":1}//',
    '/**/{}',
    '\u00a0{}',
    ' {}\u2028',
    '{"a":1;"b":2}',
    '[1,2',
    '"',
    '\0',
    'addon=vs01&fields=x',
    '<envelope/>',
    '   ',
  ]) {
    assert.match(refused(text).detail, /not JSON/, text)
  }
})

test('refuses JSON that is not an object', () => {
  for (const text of ['[]', '[{}]', '"{}"', '1', 'null', 'true', ' [ ] ']) {
    assert.match(refused(text).detail, /not an object/, text)
  }
})

test('takes white space as JSON has it, around and within', () => {
  assert.deepEqual(taken('\r\n\t {\n"a"\t:\r1 , "b":[ ] } \n').value, { a: 1, b: [] })
})

test('refuses a key that occurs twice in one object, at any depth, and says where', () => {
  assert.deepEqual(placesIn('{"a":1,"a":1}'), ['/a'])
  assert.deepEqual(placesIn('{"a":{"b":[0,{"c":1,"d":2,"c":3}]}}'), ['/a/b/1/c'])
  assert.deepEqual(placesIn('{"":1,"":2}'), ['/'])
  assert.deepEqual(placesIn('{"a/b~":1,"a/b~":2}'), ['/a~1b~0'])
  assert.deepEqual(placesIn('{"a":1,"a":2,"b":{"a":1},"a":3}'), ['/a', '/a'])
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0']) {
    assert.deepEqual(placesIn(`{"${name}":1,"${name}":2}`), [`/${name}`])
  }
})

test('sees through escapes that two equal keys are equal', () => {
  assert.deepEqual(placesIn('{"a":1,"\\u0061":2}'), ['/a'])
  assert.deepEqual(placesIn('{"\\/":1,"/":2}'), ['/~1'])
  assert.deepEqual(placesIn('{"\\n":1,"\\u000a":2}'), ['/\n'])
  assert.deepEqual(placesIn('{"\\ud83d\\ude00":1,"😀":2}'), ['/😀'])
})

test('takes the same key in different objects, and keys that differ only in case, form or blanks', () => {
  for (const text of [
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    '{"a":1,"A":2," a":3}',
    '{"é":1,"e\u0301":2}',
    '{"a":"a","b":"a"}',
    '{"a":["a","a"]}',
    '{"constructor":1,"toString":2,"":3,"prototype":{}}',
  ]) {
    assert.equal(JSON.stringify(taken(text).value), text)
  }
})

test('takes 32 levels and refuses 33, of objects, lists and both', () => {
  const objects = (levels: number) => `${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`
  taken(objects(32))
  assert.match(refused(objects(33)).errors?.[0]?.detail ?? '', /deeper than 32/)
  taken(`{"a":${nested(31)}}`)
  refused(`{"a":${nested(32)}}`)
  taken(`{"a":${nested(31)},"b":${nested(31)}}`)
  taken(`{"a":"${nested(500)}"}`)
})

test('is not brought down by a million brackets', () => {
  for (const text of [
    `{"a":${nested(500_000)}}`,
    '['.repeat(1_000_000),
    '{"a":'.repeat(200_000),
    `{"a":${nested(300_000, '[[', ']]')}}`,
  ]) {
    const began = performance.now()
    refused(text)
    assert.ok(performance.now() - began < 5_000)
  }
})

test('refuses half of a surrogate pair, in a value and in a key, and takes a whole one', () => {
  for (const half of [
    '\\ud800',
    '\\udfff',
    'x\\uDbFfx',
    '\\ude00\\ud83d',
    '\\ud83d\\ud83d\\ude00',
    '\\\\\\ud800',
  ]) {
    assert.match(refused(`{"a":"${half}"}`).errors?.[0]?.detail ?? '', /surrogate/, half)
    assert.equal(refused(`{"a":{"${half}":1}}`).errors?.length, 1, half)
  }
  for (const whole of ['\\ud83d\\ude00', '\\\\ud800', '\\uD7FF\\uE000', 'a\\\\\\\\ud800']) {
    assert.equal(taken(`{"a":"${whole}"}`).value.a, JSON.parse(`"${whole}"`))
  }
  assert.deepEqual(placesIn('{"a":["x",{"b":"\\ud800"}],"c":"\\udc00"}'), ['/a/1/b', '/c'])
})

test('finds every number that would change, and says where', () => {
  for (const number of [
    '9007199254740992',
    '-9007199254740992',
    '9007199254740993',
    '12345678901234567890',
    '-12345678901234567890123',
    '1e309',
    '-1E+400',
    '1e99999',
    '1e-400',
    '-0.5e-330',
    '0.00000000000001e-320',
    `1${'0'.repeat(400)}`,
    `${'9'.repeat(310)}.5`,
    `0.${'0'.repeat(400)}1`,
  ]) {
    assert.deepEqual(foundIn(`{"a":[0,{"b":${number}}]}`), ['/a/1/b'], number)
    assert.deepEqual(foundIn(`{"a": ${number} }`), ['/a'], number)
  }
})

test('keeps every other number as an IEEE double has it', () => {
  for (const number of [
    '0',
    '-0',
    '9007199254740991',
    '-9007199254740991',
    '1e21',
    '1E400'.replace('400', '308'),
    '9007199254740993.0',
    '9007199254740993e0',
    '0.1',
    '0.10000000000000000000000000001',
    '5e-324',
    '2.2250738585072014e-308',
    '0e999',
    '0.0e-999',
    '-0E0',
    '0E5',
    '0.0E5',
    `0.${'0'.repeat(400)}`,
    '3.141592653589793238462643383279',
  ]) {
    assert.deepEqual(foundIn(`{"a":${number}}`), [], number)
    assert.equal(taken(`{"a":${number}}`).value.a, Number(number))
  }
})

test('does not take digits inside strings and keys for numbers', () => {
  assert.deepEqual(foundIn('{"9007199254740993":"9007199254740993","b":"\\"1e999","c":"1e999\\\\"}'), [])
  assert.deepEqual(foundIn('{"a\\\\":1e999}'), ['/a\\'])
})

test('finds __proto__ at any depth, escaped or not, as a key only', () => {
  assert.deepEqual(foundIn('{"__proto__":1}'), ['/__proto__'])
  assert.deepEqual(foundIn('{"a":[{"\\u005f_proto__":{}}]}'), ['/a/0/__proto__'])
  assert.deepEqual(foundIn('{"a":"__proto__","b":["__proto__"],"__proto":1,"___proto__":2}'), [])
  const { value } = taken('{"__proto__":{"polluted":true}}')
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  assert.equal(Object.getPrototypeOf(value), Object.prototype)
})

test('repeats nothing that was sent: neither a detail nor a title holds a value', () => {
  const secret = 'the-roof-leaks'
  for (const text of [`{"${secret}"`, `"${secret}"`, `{"a":"${secret}","a":"${secret}\\ud800"}`]) {
    // The parsed value serves only to find out the addon; nothing of it is in the answer.
    assert.doesNotMatch(JSON.stringify({ ...refused(text), read: undefined }), /roof/)
  }
})

test('takes 50,000 values and refuses one more, of whatever kind, before it is parsed', () => {
  const kinds = [
    '{}',
    '[]',
    '1',
    '-1.5e3',
    'true',
    'false',
    'null',
    '"t,[{:"',
    '[{}]',
    '{"a":1}',
    '{"a":"b"}',
  ]
  for (const kind of kinds) {
    const each = kind === '[{}]' || kind.startsWith('{"a"') ? 2 : 1
    // The object and the list around the values count too.
    const many = (count: number) => `{"a":[${Array(count).fill(kind).join(' ,\n')}]}`
    taken(many((50_000 - 2) / each))
    const { detail, errors } = refused(many((50_000 - 2) / each + 1))
    assert.match(detail, /at most 32 levels and 50000 values/, kind)
    assert.match(errors?.[0]?.detail ?? '', /more than 50000 values/, kind)
  }
  // The text is no JSON, but it is refused for its number of values, which is found first.
  assert.match(refused(`[${'{},'.repeat(50_000)}`).detail, /50000 values/)
  const members = (count: number) => `{${Array.from({ length: count }, (_, n) => `"${n}":""`).join()}}`
  taken(members(49_999))
  refused(members(50_000))
})

test('a text that is no JSON ends the search, whatever is wrong with it', () => {
  for (const text of [
    '"',
    '{"',
    '{"a',
    '{"\\',
    '{"\\x":1}',
    '{"\\ud83d',
    ',',
    ']',
    '}]',
    '{"a":"\\ud83d\\x"}',
    '-',
    '{,"a":1}',
  ])
    assert.match(refused(text).detail, /not JSON/, text)
})

test('a pointer to a name with half a surrogate pair has only whole characters', () => {
  for (const place of placesIn('{"\\ud83d":1,"a\\udc00":{"b":"\\ud83d"}}'))
    assert.ok(place.isWellFormed(), place)
})
