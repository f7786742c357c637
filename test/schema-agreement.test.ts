/**
 * Posts envelopes that json-schema-faker makes from the published schemas, and altered ones, to a real receiver. The receiver accepts no
 * envelope that the schema refuses. It refuses an envelope that the schema accepts only for the reasons listed here. It answers none with
 * 5xx. The envelopes depend on a seed.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { generateSync, type JsonSchema } from 'json-schema-faker'
import { type FieldError, fileNameOf, type Json, type JsonObject } from '../contracts/contract.ts'
import { isObject } from '../contracts/envelope.ts'
import { contracts } from '../contracts/index.ts'
import { type Random, random } from './faults/random.ts'
import { type Receiver, startReceiver } from './receiver.ts'

const perContract = 400
const alterationsEach = 3

/** The rules that no JSON Schema can express. Each is in `x-not-expressed` of the schemas, and each occurs in this test. */
const beyondSchema: readonly (readonly [reason: string, pointer: RegExp, detail: RegExp])[] = [
  ['a member named __proto__', /__proto__$/, /not stored/],
  ['more than 32 levels', /^/, /nested deeper than 32/],
  ['more than 50,000 values', /^$/, /more than 50000 values/],
  ['half a surrogate pair', /^/, /half of a surrogate pair/],
  ['an integer beyond 2^53 - 1', /^/, /2\^53/],
  ['the hash of another token', /^\/node_token_hash$/, /./],
  ['more than three different ids', /^\/pinned_scenario_ids$/, /./],
]

let receiver: Receiver
before(async () => {
  receiver = await startReceiver()
})
after(() => receiver.stop())

const ajv = new Ajv2020({ keywords: ['x-not-expressed'], strictTypes: false })
const met = new Set<string>()

for (const contract of [...contracts.values()].flat()) {
  const name = fileNameOf(contract)

  test(`the schema of ${name} and the receiver agree on generated and altered envelopes`, async () => {
    const schema = JSON.parse(
      readFileSync(new URL(`../contracts/${name}.schema.json`, import.meta.url), 'utf8'),
    )
    const isValid = ajv.compile(schema)
    let [taken, refused] = [0, 0]
    for (const envelope of envelopes(schema)) {
      const valid = isValid(envelope)
      const response = await receiver.post(envelope)
      const text = await response.text()
      const seen = `${response.status} ${text}\nto ${JSON.stringify(envelope).slice(0, 500)}\n${ajv.errorsText(isValid.errors)}`
      assert.ok(response.status < 500, seen)
      if (response.status < 300) {
        assert.ok(valid, seen)
        taken++
      } else {
        refused++
        if (valid) met.add(reasonBeyond(JSON.parse(text).errors ?? []) ?? assert.fail(seen))
      }
    }
    // Most generated envelopes must be accepted and some altered ones refused. Otherwise this test has seen one side only.
    assert.ok(taken > perContract / 2 && refused > perContract / 2, `${taken} taken, ${refused} refused`)
  })
}

test('each reason beyond the schemas was met', () => {
  assert.deepEqual([...met].sort(), beyondSchema.map(([reason]) => reason).sort())
})

/** The reason for the first of these errors; undefined when one of the errors has none of the listed reasons. */
function reasonBeyond(errors: readonly FieldError[]): string | undefined {
  const reasons = errors.map(
    (error) =>
      beyondSchema.find(
        ([, pointer, detail]) => pointer.test(error.pointer) && detail.test(error.detail),
      )?.[0],
  )
  return reasons.every((reason) => reason !== undefined) ? reasons[0] : undefined
}

function* envelopes(schema: JsonSchema): Generator<JsonObject> {
  for (let seed = 0; seed < perContract; seed++) {
    const chance = random(seed)
    const generated = generateSync(schema, { seed, optionalsProbability: 0.5 }) as JsonObject
    // This member depends on the request, so it is left out.
    const made = without(generated, 'node_token_hash')
    yield made
    for (let n = 0; n < alterationsEach; n++) yield alter(made, chance)
  }
}

const deep = Array.from({ length: 40 }).reduce<Json>((inner) => [inner], 'x')
const oddValues: readonly Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  '',
  ' ',
  'x',
  '\u0000',
  '\ud83d',
  'ä'.repeat(129),
  [],
  {},
  ['a', 'b', 'c', 'd'],
  ['a', 'a', 'b', ''],
  { 0: 'a', 2: 'b' },
  { '01': 'a' },
  JSON.parse('{"__proto__":{"x":1}}'),
  JSON.parse('{"constructor":1,"toString":2}'),
  deep,
]
const heavy: Json = Array.from({ length: 50_001 }, () => 0)

/** A copy of the envelope with one change. */
function alter(envelope: JsonObject, chance: Random): JsonObject {
  const members = Object.entries(envelope)
  const [name, value] = chance.of(members)
  const odd = chance.oneIn(100) ? heavy : chance.of(oddValues)
  const replaced = (by: Json): JsonObject => ({ ...envelope, [name]: by })
  const ways: readonly (() => JsonObject)[] = [
    () => without(envelope, name),
    () => replaced(odd),
    () => replaced(typeof value === 'string' ? value.toUpperCase() : [value]),
    () => replaced(typeof value === 'string' ? `${value}${chance.of(['\n', ' ', 'x', '0'])}` : odd),
    () => replaced(isObject(value) ? { ...value, more: odd } : odd),
    () => ({ ...envelope, more: odd }),
    () => ({ ...envelope, node_token_hash: 'AB'.repeat(32) }),
    () => ({ ...envelope, [chance.of(['receipt', 'g1_tx_hash_raw', 'g1_tx_hash', 'vs_code'])]: odd }),
  ]
  return chance.of(ways)()
}

function without(envelope: JsonObject, name: string): JsonObject {
  return Object.fromEntries(Object.entries(envelope).filter(([other]) => other !== name))
}
