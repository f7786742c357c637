/** The JSON Schemas that are generated from the contracts, and the program that generates them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as v from 'valibot'
import type { Contract } from '../contracts/contract.ts'
import { rule } from '../contracts/envelope.ts'
import { contracts } from '../contracts/index.ts'
import { scn01 } from '../contracts/scn01.ts'
import { vs01 } from '../contracts/vs01.ts'
import { fileOf, schemaOf, schemas } from '../scripts/schemas.ts'
import { scratchDir } from './receiver.ts'

/** The contract vs01 with this rule for an additional member. */
function vs01With(member: v.GenericSchema): Contract {
  return { ...vs01, envelope: v.looseObject({ ...vs01.envelope.entries, member }) }
}

test('the committed schemas are those of the contracts', () => {
  const script = new URL('../scripts/schemas.ts', import.meta.url).pathname
  const run = spawnSync(process.execPath, ['--import', 'tsx', script, '--check'], { encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
})

test('--check names a file that differs, says what to run, and writes nothing', (t) => {
  const said = t.mock.method(console, 'error', () => {})
  const directory = scratchDir()
  const rules = join(directory, 'rules.php')
  assert.equal(schemas([], directory, rules), 0)
  assert.equal(schemas(['--check'], directory, rules), 0)
  assert.equal(said.mock.callCount(), 0)

  writeFileSync(join(directory, 'vs01-1.0.schema.json'), '{}\n')
  writeFileSync(rules, '<?php return [];')
  assert.equal(schemas(['--check'], directory, rules), 1)
  const sentences = said.mock.calls.map((call) => String(call.arguments[0]))
  assert.equal(sentences.length, 2)
  assert.match(sentences[0]!, /^vs01-1\.0\.schema\.json .* "npm run schemas"/)
  assert.match(sentences[1]!, /^rules\.php differs from the contracts: run "npm run schemas"/)
  assert.equal(readFileSync(join(directory, 'vs01-1.0.schema.json'), 'utf8'), '{}\n')
})

test('--check counts a schema that is not there as one that differs', (t) => {
  const said = t.mock.method(console, 'error', () => {})
  const directory = scratchDir()
  assert.equal(schemas(['--check'], directory, join(directory, 'rules.php')), 1)
  assert.equal(said.mock.callCount(), 4)
  assert.deepEqual(readdirSync(directory), [])
})

test('a rule that has no JSON Schema stops the generator instead of vanishing', () => {
  for (const member of [
    v.pipe(
      v.string(),
      v.check((value) => value !== 'x'),
    ),
    v.pipe(
      v.unknown(),
      v.rawCheck(() => {}),
    ),
    v.pipe(
      v.string(),
      v.transform((value) => value.length),
    ),
    v.pipe(v.string(), v.regex(/^[a-z]+$/i)),
    v.custom(() => true),
    v.date(),
  ]) {
    assert.throws(() => schemaOf(vs01With(member)), /not supported|cannot be converted/)
  }
})

test('what the JSON Schema of a single rule cannot express is listed for the whole schema', () => {
  const even = rule(() => {}, { type: 'array', 'x-not-expressed': ['member has an even number of items'] })
  const schema = schemaOf(vs01With(v.pipe(v.unknown(), v.description('pairs'), even)))
  assert.deepEqual(schema.properties?.member, { description: 'pairs', type: 'array' })
  assert.ok(schema['x-not-expressed'].includes('member has an even number of items'))
})

test('generating a schema takes nothing away from the contract', () => {
  assert.equal(JSON.stringify(schemaOf(scn01)), JSON.stringify(schemaOf(scn01)))
})

test("only the schema of a contract that records the token's hash mentions it", () => {
  const sentences = (contract: Contract) => schemaOf(contract)['x-not-expressed'].join('\n')
  assert.match(sentences(scn01), /node_token_hash is the SHA-256/)
  assert.doesNotMatch(sentences(vs01), /node_token_hash/)
})

test('every contract has a schema file of its own, a later version beside the earlier one', () => {
  const all = [...contracts.values()].flat()
  assert.deepEqual(
    all.map(fileOf),
    all.map(({ addon, version }) => `${addon}-${version}.schema.json`),
  )
  assert.equal(fileOf({ ...scn01, version: '1.1' }), 'scn01-1.1.schema.json')
})
