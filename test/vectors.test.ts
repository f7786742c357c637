/** Every published vector gets its verdict, from the code and from the JSON Schema. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { type FieldError, fileNameOf } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'
import { type Acceptance, accept } from '../src/envelope/accept.ts'
import { intake } from '../src/envelope/intake.ts'
import { bodyOf, type Vector, vectorsOf } from './vectors.ts'

const read = (name: string) => readFileSync(new URL(`../contracts/${name}`, import.meta.url), 'utf8')

function answer(vector: Vector): Acceptance | { readonly ok: false; readonly unreadable: string } {
  const taken = intake(new TextEncoder().encode(bodyOf(vector)))
  if (!taken.ok) return { ok: false, unreadable: taken.detail }
  const context = {
    tokenSha256: vector.token_sha256 ?? 'ab'.repeat(32),
    now: new Date('2026-06-15T15:00:00Z'),
  }
  return accept(taken.value, taken.found, context, contracts)
}

const places = (list: readonly FieldError[]) => list.map((entry) => entry.pointer).sort()
const stored = (value: unknown) => JSON.parse(JSON.stringify(value))

for (const contract of [...contracts.values()].flat()) {
  const name = fileNameOf(contract)
  const vectors = vectorsOf(contract)

  for (const vector of vectors) {
    test(`${name} vector: ${vector.name}`, () => {
      const result = answer(vector)
      if (vector.verdict === 'accepted') {
        assert.ok(result.ok, JSON.stringify(result))
        const record = Object.fromEntries(result.record.members)
        assert.deepEqual(stored(record), vector.record)
        assert.deepEqual(Object.keys(record), Object.keys(vector.record))
        const warnings = result.warnings.filter(({ pointer }) => pointer !== '/submitted_at')
        assert.deepEqual(places(warnings), [...vector.warnings].sort())
      } else if (vector.status === 400) {
        assert.ok('unreadable' in result, JSON.stringify(result))
      } else {
        assert.ok('errors' in result, JSON.stringify(result))
        assert.deepEqual(places(result.errors), [...(vector.pointers ?? [])].sort())
        for (const { detail } of result.errors) assert.doesNotMatch(detail, /Invalid|Expected|received/)
      }
    })
  }

  const ajv = new Ajv2020({ allErrors: true, keywords: ['x-not-expressed'], strictTypes: false })
  const validate = ajv.compile(JSON.parse(read(`${name}.schema.json`)))

  test(`the JSON Schema of ${name} gives the verdicts of the vectors, except for rules beyond a schema`, () => {
    for (const vector of vectors.filter(({ beyond_schema }) => !beyond_schema)) {
      const valid = validate(JSON.parse(bodyOf(vector)))
      assert.equal(valid, vector.verdict === 'accepted', `${vector.name}: ${ajv.errorsText(validate.errors)}`)
    }
  })

  test(`no vector marks a rule of the JSON Schema of ${name} as beyond it`, () => {
    for (const vector of vectors.filter(
      ({ beyond_schema, status }: Partial<Vector & { status: number }>) => beyond_schema && status !== 400,
    )) {
      assert.ok(validate(JSON.parse(bodyOf(vector))), vector.name)
    }
  })
}
