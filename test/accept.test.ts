/** Judging a parsed envelope: the record that is stored, or the list of all violations. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Contracts, FieldError, Json, JsonObject } from '../contracts/contract.ts'
import { oneOf } from '../contracts/envelope.ts'
import { contracts } from '../contracts/index.ts'
import { vs01 } from '../contracts/vs01.ts'
import { accept } from '../src/envelope/accept.ts'
import { bounded, pointer } from '../src/envelope/violations.ts'

const context = { tokenSha256: 'c0ffee'.padEnd(64, '0'), now: new Date('2026-06-15T14:32:00Z') }

const common = {
  contract_version: '1.0',
  association_slug: 'elm-court',
  association_channel_id: '118',
  participant_id: '22c@5sb-8hm-54v',
  submitted_at: '2026-06-15T14:32:00Z',
  standing: 'participant',
}
const vs = { addon: 'vs01', ...common, fields: { f1: 'yes' } }
const scn = {
  addon: 'scn01',
  ...common,
  pinned_scenario_ids: ['DSC-01-S03'],
  narrative: 'x',
  vs_snapshot: {},
  dsc_snapshot: {},
}

function accepted(sent: JsonObject, known: Contracts = contracts) {
  const result = accept(sent, [], context, known)
  assert.ok(result.ok, JSON.stringify(result))
  return result
}

function refused(sent: JsonObject, found: readonly FieldError[] = [], known: Contracts = contracts) {
  const result = accept(sent, found, context, known)
  assert.ok(!result.ok)
  return result.errors
}

const names = (members: readonly (readonly [string, Json])[]) => members.map(([name]) => name)
const places = (list: readonly FieldError[]) => list.map((entry) => entry.pointer)

test('a record says for which addon, association and participant it is, and how it is stored', () => {
  const { members, ...head } = accepted(vs).record
  assert.deepEqual(head, {
    addon: 'vs01',
    association_slug: 'elm-court',
    participant_id: '22c@5sb-8hm-54v',
    storage: 'overwrite-by-placekey',
    unhashed: [],
  })
  assert.deepEqual(Object.fromEntries(members), vs)
})

test('named members come first, even before a member whose name is an integer', () => {
  const sent = JSON.parse(
    `{"7":1,"":2,"standing":"public","constructor":3,${JSON.stringify({ ...vs, standing: undefined }).slice(1)}`,
  )
  assert.equal(Object.keys(sent)[0], '7')
  const { record, warnings } = accepted(sent)
  assert.deepEqual(names(record.members), ['addon', ...Object.keys(common), 'fields', '7', '', 'constructor'])
  assert.deepEqual(places(warnings), ['/7', '/', '/constructor'])
})

test('scn01 records always have g1_tx_hash; a value that is no hash is kept in the member right after it', () => {
  const order = [
    'addon',
    ...Object.keys(common),
    'pinned_scenario_ids',
    'narrative',
    'vs_snapshot',
    'dsc_snapshot',
  ]
  assert.deepEqual(names(accepted(scn).record.members), [...order, 'g1_tx_hash'])
  const { record, warnings } = accepted({ g1_tx_hash: 'soon', extra: 1, ...scn })
  assert.deepEqual(record.members.slice(order.length), [
    ['g1_tx_hash', null],
    ['g1_tx_hash_raw', 'soon'],
    ['extra', 1],
  ])
  assert.deepEqual(places(warnings), ['/g1_tx_hash', '/extra'])
})

test('node_token_hash is written from the presented token, beside the members that make the id', () => {
  for (const sent of [scn, { ...scn, node_token_hash: context.tokenSha256.toUpperCase() }]) {
    const { record, warnings } = accepted(sent)
    assert.deepEqual(record.unhashed, [['node_token_hash', context.tokenSha256]])
    assert.ok(!names(record.members).includes('node_token_hash'))
    assert.deepEqual(warnings, [])
  }
})

test('a node_token_hash of another token is one violation, a malformed one too', () => {
  assert.deepEqual(places(refused({ ...scn, node_token_hash: 'f'.repeat(64) })), ['/node_token_hash'])
  assert.deepEqual(places(refused({ ...scn, node_token_hash: 'f' })), ['/node_token_hash'])
})

test('violations that intake found are reported after those of the contract, and refuse an envelope on their own too', () => {
  const found = [{ pointer: '/fields/f1', detail: 'is too large for a number; send it as a string' }]
  assert.deepEqual(refused(vs, found), found)
  assert.deepEqual(places(refused({ ...vs, standing: 'king' }, found)), ['/standing', '/fields/f1'])
  assert.deepEqual(places(refused({ ...vs, addon: 'vs02', standing: 'king' }, found)), [
    '/addon',
    '/fields/f1',
  ])
})

test('a member named __proto__ that intake has reported neither crashes accept nor counts as a member', () => {
  const sent = JSON.parse('{"__proto__":{"addon":"vs01","standing":"operator"}}')
  assert.deepEqual(places(refused(sent, [{ pointer: '/__proto__', detail: 'must be left out' }])), [
    '/addon',
    '/__proto__',
  ])
})

test('the wallet addon is told why nothing of it is stored', () => {
  const [error, ...more] = refused({ ...vs, addon: 'g1wallet' })
  assert.deepEqual(more, [])
  assert.match(error!.detail, /shares the node token but has no record type/)
  assert.doesNotMatch(refused({ ...vs, addon: 'vs02' })[0]!.detail, /wallet/)
})

test('an envelope that is older or newer than 24 hours is stored with a warning', () => {
  for (const [submitted_at, expected] of [
    ['2026-06-14T14:32:00Z', []],
    ['2026-06-14T14:31:59Z', ['/submitted_at']],
    ['2026-06-16T16:32:00+0200', []],
    ['2026-06-16T16:32:01+0200', ['/submitted_at']],
    ['0001-01-01T00:00:00Z', ['/submitted_at']],
  ] as const) {
    const { record, warnings } = accepted({ ...vs, submitted_at })
    assert.deepEqual(places(warnings), expected, submitted_at)
    assert.equal(Object.fromEntries(record.members).submitted_at, submitted_at)
  }
})

test('a later version of a contract stands beside the older one; an envelope of an unknown version is judged by the later one, and the refusal names all versions', () => {
  const entries = { ...vs01.envelope.entries, contract_version: oneOf('1.1') }
  const later = {
    ...vs01,
    version: '1.1',
    storage: 'append-only' as const,
    envelope: { ...vs01.envelope, entries },
  }
  const known = new Map([['vs01', [vs01, later]]])
  assert.equal(accepted(vs, known).record.storage, 'overwrite-by-placekey')
  assert.equal(accepted({ ...vs, contract_version: '1.1' }, known).record.storage, 'append-only')
  assert.deepEqual(refused({ ...vs, contract_version: '9' }, [], known), [
    { pointer: '/contract_version', detail: 'must be "1.0" or "1.1"' },
  ])
})

test('accepting leaves the envelope as it was sent', () => {
  const sent = { ...scn, pinned_scenario_ids: { 3: 'A', 1: 'B' }, vs_snapshot: [], g1_tx_hash: 'soon' }
  const before = structuredClone(sent)
  accepted(sent)
  assert.deepEqual(sent, before)
})

test('a refusal repeats no value that was sent', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('vs01', 'dsc01', 'scn01', 'g1wallet', 'x'),
      fc.jsonValue(),
      (addon, value) => {
        const secret = 'swordfish'
        const mark = (part: Json): Json =>
          typeof part === 'string'
            ? secret
            : Array.isArray(part)
              ? [...part.map(mark), secret]
              : [part, secret]
        const sent: Record<string, Json> = { addon }
        for (const name of [
          ...Object.keys(scn),
          'fields',
          'vs_code',
          'perspective',
          'node_token_hash',
          'receipt',
        ]) {
          if (name !== 'addon') sent[name] = mark(value as Json)
        }
        assert.ok(!JSON.stringify(refused(sent)).includes(secret))
      },
    ),
  )
})

test('a megabyte of bad ids gets a short answer quickly', () => {
  const started = performance.now()
  const errors = refused({ ...scn, pinned_scenario_ids: Array.from({ length: 150_000 }, (_, n) => n) })
  assert.equal(errors.length, 101)
  assert.ok(places(errors).includes('/pinned_scenario_ids'))
  assert.ok(performance.now() - started < 1000)
})

test('a hundred thousand numbers that would change get a short answer', () => {
  const found = Array.from({ length: 100_000 }, (_, n) => ({
    pointer: `/fields/${n}`,
    detail: 'send it as a string',
  }))
  const errors = refused({ ...vs, standing: 'king' }, found)
  assert.equal(errors[0]!.pointer, '/standing')
  assert.deepEqual(errors.at(-1), { pointer: '', detail: 'and 99001 more, not listed here' })
})

test('a bad id that is sent twice is reported once, at its first place', () => {
  const errors = refused({ ...scn, pinned_scenario_ids: ['A', '', 'B', ''] })
  assert.deepEqual(places(errors), ['/pinned_scenario_ids/1'])
})

test('a hundred thousand unnamed members are all stored, and a bounded number of warnings says so', () => {
  const extra = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`x${n}`, n]))
  const { record, warnings } = accepted({ ...vs, ...extra })
  assert.equal(record.members.length, Object.keys(vs).length + 100_000)
  assert.deepEqual(warnings.at(-1), { pointer: '', detail: 'and 99000 more, not listed here' })
  assert.equal(warnings.length, 1001)
})

test('a pointer is escaped as RFC 6901 asks', () => {
  assert.equal(pointer([]), '')
  assert.equal(pointer(['fields', '', 'a/b', 'm~n', '~1', 0]), '/fields//a~1b/m~0n/~01/0')
})

test('instead of a pointer that is too long, the pointer of the nearest ancestor that fits is reported', () => {
  assert.equal(pointer(['a'.repeat(1023)]).length, 1024)
  assert.equal(pointer(['a'.repeat(1024)]), '')
  assert.equal(pointer(['fields', 'k'.repeat(2000), 'x']), '/fields')
  assert.equal(pointer(['fields', '/'.repeat(600), 'x']), '/fields')
})

test('the pointers of many places below one key of a megabyte are made quickly', () => {
  const key = 'k'.repeat(1_000_000)
  const started = performance.now()
  for (let n = 0; n < 100_000; n++) assert.equal(pointer(['fields', key, n]), '/fields')
  assert.ok(performance.now() - started < 1000)
})

test('a list of violations is bounded in its number, in one pointer, and in all of them', () => {
  const at = (place: string): FieldError => ({ pointer: place, detail: 'x' })
  const thousand = Array.from({ length: 1000 }, (_, n) => at(`/${n}`))
  assert.deepEqual(bounded(thousand), thousand)
  assert.deepEqual(bounded([...thousand, at('/a'), at('/b')]), [
    ...thousand,
    { pointer: '', detail: 'and 2 more, not listed here' },
  ])
  assert.deepEqual(bounded([at(`/a/${'k'.repeat(1022)}`), at(`/a/${'k'.repeat(1021)}`)]), [
    at('/a'),
    at(`/a/${'k'.repeat(1021)}`),
  ])
  assert.deepEqual(bounded([at(`/${'k'.repeat(5000)}/x`)]), [at('')])
  const long = Array.from({ length: 100 }, () => at(`/${'k'.repeat(1023)}`))
  assert.equal(bounded(long).length, 65)
  assert.equal(bounded(long).at(-1)!.detail, 'and 36 more, not listed here')
})

const text = fc.string({ unit: 'grapheme' })
const anyJson = fc.jsonValue({ stringUnit: 'grapheme' }) as fc.Arbitrary<Json>
const notProto = (name: string) => name !== '__proto__'
const map = (minKeys: number) => fc.dictionary(text.filter(notProto), anyJson, { minKeys, maxKeys: 8 })
const letters = [...'23456789bcdfghjkmnpqrstvwxyz']
const group = fc.string({ unit: fc.constantFrom(...letters), minLength: 3, maxLength: 3 })
const place = fc.tuple(group, group, group).map((groups) => groups.join('-'))
const placekey = fc.oneof(
  fc
    .tuple(fc.constantFrom('', '22c', '222-zzz', '0abcdefg23'), place)
    .map(([what, where]) => `${what}@${where}`),
  fc.tuple(fc.nat(), group, place).map(([number, what, where]) => `SASE${number}-${what}-at-${where}`),
)
const alphabet = [...'abcdefghijklmnopqrstuvwxyz0123456789']
const slugEnd = fc.constantFrom(...alphabet)
const slugMiddle = fc.string({ unit: fc.constantFrom(...alphabet, '-', '_'), maxLength: 126 })
const submittedAt = fc
  .tuple(
    fc.date({ min: new Date('0001-01-01'), max: new Date('9998-12-31'), noInvalidDate: true }),
    fc.stringMatching(/^(\.[0-9]{1,9})?$/),
    fc.constantFrom('Z', '+00:00', '+0530', '-1200'),
  )
  .map(([date, fraction, zone]) => date.toISOString().slice(0, 19) + fraction + zone)

const head = fc.record({
  contract_version: fc.constant('1.0'),
  association_slug: fc.oneof(
    slugEnd,
    fc.tuple(slugEnd, slugMiddle, slugEnd).map((parts) => parts.join('')),
  ),
  association_channel_id: fc.stringMatching(/^[0-9]{1,20}$/),
  participant_id: placekey,
  submitted_at: submittedAt,
  standing: fc.constantFrom('public', 'participant', 'professional', 'operator'),
})
const unnamed = fc.dictionary(
  text.filter(notProto).map((name) => `x-${name}`),
  anyJson,
  { maxKeys: 4 },
)

test('a valid vs01 or dsc01 envelope is accepted, and every member is stored as it was sent', () => {
  fc.assert(
    fc.property(fc.constantFrom('vs01', 'dsc01'), head, map(1), unnamed, (addon, members, fields, others) => {
      const sent = { ...others, fields, ...members, addon }
      const { record, warnings } = accepted(sent)
      assert.deepEqual(Object.fromEntries(record.members), sent)
      assert.deepEqual(names(record.members.slice(8)), Object.keys(others))
      const expected = Object.keys(others).map((name) => pointer([name]))
      assert.deepEqual(
        places(warnings).filter((at) => at !== '/submitted_at'),
        expected,
      )
    }),
  )
})

/** A list of 1 to 3 ids, and a form in which it is sent: with repeated ids at the end, as a list, or as an object with gaps between its keys. */
const pins = fc
  .tuple(
    fc.uniqueArray(
      fc
        .string({ unit: 'binary', minLength: 1, maxLength: 128 })
        .filter((id) => /\S/.test(id) && id.isWellFormed()),
      {
        minLength: 1,
        maxLength: 3,
      },
    ),
    fc.nat(3),
    fc.option(fc.bigInt({ min: 1n, max: 10n ** 30n })),
  )
  .map(([ids, repeats, gap]) => {
    const list = [...ids, ...ids.slice(0, repeats)]
    const keyed = gap && list.map((id, n): [string, string] => [String(BigInt(n) * gap), id]).reverse()
    return { ids, sent: keyed ? Object.fromEntries(keyed) : list }
  })
const digits = fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF'), minLength: 64, maxLength: 64 })
const coin = fc.oneof(
  fc.constantFrom('', ' \n', null, false).map((sent) => ({ sent, stored: [null] })),
  fc
    .tuple(fc.constantFrom('', '0x', ' 0x'), digits, fc.constantFrom('', '\n'))
    .map(([before, hex, after]) => ({
      sent: before + hex + after,
      stored: [`0x${hex.toLowerCase()}`],
    })),
  text.filter((word) => /\S/.test(word)).map((sent) => ({ sent, stored: [null, sent] })),
)
const snapshot = fc.oneof(
  map(0).map((sent) => ({ sent, stored: sent })),
  fc.constant({ sent: [], stored: {} }),
)

test('a valid scn01 envelope is stored as it was sent, except for the listed normalisations', () => {
  fc.assert(
    fc.property(
      head,
      pins,
      text,
      snapshot,
      snapshot,
      coin,
      unnamed,
      (members, ids, narrative, vsAt, dscAt, g1, others) => {
        const sent = {
          ...others,
          ...members,
          addon: 'scn01',
          g1_tx_hash: g1.sent,
          pinned_scenario_ids: ids.sent,
          narrative,
          vs_snapshot: vsAt.sent,
          dsc_snapshot: dscAt.sent,
        }
        const { record } = accepted(sent)
        assert.deepEqual(record.members, [
          ['addon', 'scn01'],
          ...Object.entries(members),
          ['pinned_scenario_ids', ids.ids],
          ['narrative', narrative],
          ['vs_snapshot', vsAt.stored],
          ['dsc_snapshot', dscAt.stored],
          ...g1.stored.map((value, n) => [n === 0 ? 'g1_tx_hash' : 'g1_tx_hash_raw', value]),
          ...Object.entries(others),
        ])
      },
    ),
  )
})
