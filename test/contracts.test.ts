/** The registry of contracts, and the sentences with which a contract refuses a value. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import type { Contract, JsonObject } from '../contracts/contract.ts'
import { instant, mustBe } from '../contracts/envelope.ts'
import { contracts } from '../contracts/index.ts'

const registered = [...contracts.values()].flat()

function details(contract: Contract, sent: JsonObject): string[] {
  return v.safeParse(contract.envelope, sent).issues?.map((issue) => issue.message) ?? []
}

test('the registry knows three addons, and nothing under the name of a prototype member', () => {
  assert.deepEqual(
    registered.map(({ addon, version, storage }) => `${addon} ${version} ${storage}`),
    ['vs01 1.0 overwrite-by-placekey', 'dsc01 1.0 overwrite-by-placekey', 'scn01 1.0 append-only'],
  )
  for (const name of ['__proto__', 'constructor', 'toString', ''])
    assert.equal(contracts.get(name), undefined)
})

test('a contract is found under the addon and the version that its own envelope asks for', () => {
  for (const contract of registered) {
    const { addon, contract_version } = contract.envelope.entries
    assert.ok(v.is(addon!, contract.addon))
    assert.ok(v.is(contract_version!, contract.version))
  }
})

test('every member that is missing is named with a sentence that says what it must be', () => {
  for (const contract of registered) {
    const missing = details(contract, {})
    assert.ok(missing.length >= 8)
    for (const detail of missing) assert.match(detail, /^is missing; it must be .{5}/)
  }
})

test('every member answers a wrong value with a sentence of ours and never repeats the value', () => {
  const wrong = ['\u0000secret', ['secret'], { 'secret key': 'secret' }, 7531, true, null]
  for (const contract of registered) {
    for (const value of wrong) {
      const sent = Object.fromEntries(Object.keys(contract.envelope.entries).map((name) => [name, value]))
      const said = details(contract, sent)
      assert.ok(said.length >= 8)
      for (const detail of said) {
        assert.match(detail, /^must (be|have) /)
        assert.doesNotMatch(detail, /secret|7531|Invalid|Expected/)
      }
    }
  }
})

test('submitted_at takes exactly the days that exist, in leap years and centuries too', () => {
  const rule = registered[0]!.envelope.entries.submitted_at!
  const two = (n: number) => String(n).padStart(2, '0')
  for (let year = 1896; year <= 2104; year++) {
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const date = new Date(Date.UTC(year, month - 1, day))
        const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day
        const text = `${year}-${two(month)}-${two(day)}T00:00:00Z`
        if (v.is(rule, text) !== exists) assert.fail(`${text} ${exists ? 'exists' : 'does not exist'}`)
      }
    }
  }
})

test('the instant of submitted_at does not depend on how its zone and fraction are spelled', () => {
  const noon = Date.UTC(2026, 5, 15, 12)
  for (const text of [
    '2026-06-15T12:00:00Z',
    '2026-06-15T12:00:00.123456789Z',
    '2026-06-15T14:00:00+02:00',
    '2026-06-15T14:00:00+0200',
    '2026-06-15T06:30:00.5-0530',
    '2026-06-15T12:00Z',
    '2026-06-15T14:00+0200',
  ]) {
    assert.equal(instant(text), noon, text)
  }
})

test('every pattern judges a long text quickly', () => {
  const { entries } = registered[2]!.envelope
  const started = performance.now()
  for (const text of ['a-'.repeat(500_000), '2'.repeat(1_000_000), `SASE${'1-222'.repeat(200_000)}`]) {
    for (const name of ['association_slug', 'association_channel_id', 'participant_id', 'submitted_at']) {
      assert.ok(!v.is(entries[name]!, text))
    }
  }
  assert.ok(performance.now() - started < 500)
})

test('the choices of a member are listed as a person would list them', () => {
  assert.equal(mustBe(['a']), 'must be "a"')
  assert.equal(mustBe(['a', 'b']), 'must be "a" or "b"')
  assert.equal(mustBe(['a', 'b', 'c']), 'must be "a", "b" or "c"')
})

test('a group of letters in a Placekey has the letters that its place allows', () => {
  const [contract] = contracts.get('vs01') as [Contract]
  const schema = contract.envelope.entries.participant_id as v.GenericSchema
  // A `where` may have "a" only in its first group, and "e" and "u" in all three. A `what` has none of these.
  for (const taken of ['@e5a-uhe-eue', '@uea-222-zzz', '22c@5sb-8hm-54v', '0abcdefg2z@5sb-8hm-54v'])
    assert.ok(v.is(schema, taken), taken)
  const swapped = [
    '@5sb-8am-54v',
    '@5sb-8hm-54a',
    '@5sb-8hm-a4v',
    '@5ib-8hm-54v',
    '@5sb-8om-54v',
    '@5sb-8hm-5l4',
  ]
  const whats = ['22e@5sb-8hm-54v', '22c-2u2@5sb-8hm-54v', '2abcdefg23@5sb-8hm-54v', '0abcdefg18@5sb-8hm-54v']
  for (const refused of [...swapped, ...whats, '@5sb-8hm', '@5sb-8hm-54v-222', '@5SB-8hm-54v'])
    assert.ok(!v.is(schema, refused), refused)
})
