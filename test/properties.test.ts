/** Properties of intake, accept and the real storage, in one process: the stored record is what was sent, and the order of arrival decides. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { contracts } from '../contracts/index.ts'
import { accept } from '../src/envelope/accept.ts'
import { intake } from '../src/envelope/intake.ts'
import { openFileStore } from '../src/storage/files/store.ts'
import { linesOf, sha256 } from './disk.ts'
import { grammar } from './faults/bodies.ts'
import { judge } from './faults/oracle.ts'
import { random } from './faults/random.ts'
import { scn01, scratchDir, token, vs01 } from './receiver.ts'

const tokenSha256 = sha256(token)
const now = new Date('2026-06-15T15:00:00Z')
const dataDir = scratchDir()
const silent = { info() {}, warn() {}, error() {}, fatal() {} }
const store = openFileStore({ root: dataDir, minFreeBytes: 0, log: silent })
after(() => store.close())

function take(text: string | Buffer) {
  const taken = intake(Buffer.from(text as string))
  if (!taken.ok) return taken
  return accept(taken.value, taken.found, { tokenSha256, now }, contracts)
}

/** Stores an envelope, and gives the record on disk without its receipt. */
async function storedFrom(text: string): Promise<Record<string, unknown>> {
  const accepted = take(text)
  assert.ok(accepted.ok && 'record' in accepted, JSON.stringify(accepted))
  const outcome = await store.put(accepted.record, performance.now() + 10_000)
  assert.ok(outcome.ok)
  const { addon, association_slug, participant_id } = accepted.record
  const directory = join(dataDir, addon, association_slug)
  if (addon !== 'scn01') {
    const { receipt, ...record } = JSON.parse(readFileSync(join(directory, `${participant_id}.json`), 'utf8'))
    assert.deepEqual(receipt, { received_at: outcome.receipt.received_at })
    return record
  }
  const line = linesOf(join(directory, 'records.json'))[(outcome.receipt.sequence as number) - 1] as string
  const { receipt, node_token_hash, ...record } = JSON.parse(line)
  assert.deepEqual([receipt.id, node_token_hash], [outcome.receipt.id, tokenSha256])
  return record
}

const reserved = new Set([
  '__proto__',
  'receipt',
  'g1_tx_hash_raw',
  ...Object.keys(vs01()),
  ...Object.keys(scn01()),
])
reserved.add('vs_code').add('perspective').add('g1_tx_hash').add('node_token_hash')

/** A text of whole characters, or one of the names that every JavaScript object has. */
const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
  fc.constantFrom(
    'constructor',
    'toString',
    'prototype',
    'hasOwnProperty',
    '',
    '7',
    '007',
    'length',
    'toJSON',
    '\u2028',
  ),
)
const key = text.filter((name) => name !== '__proto__')
const number = fc.oneof(
  fc.maxSafeInteger(),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((value) => !Number.isInteger(value) || Math.abs(value) < 2 ** 53),
)
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom(null, true, false),
    number,
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}))
const map = fc.dictionary(key, value, { maxKeys: 5, noNullPrototype: true })
const unnamed = fc.dictionary(
  key.filter((name) => !reserved.has(name)),
  value,
  { maxKeys: 3, noNullPrototype: true },
)

/** The value as JSON keeps it, because JSON has only one zero. */
const asJson = (sent: unknown) => JSON.parse(JSON.stringify(sent))

test('an overwritten record holds the value that was sent, whole, whatever is in it', () =>
  fc.assert(
    fc.asyncProperty(fc.constantFrom('vs01', 'dsc01'), map, unnamed, async (addon, fields, more) => {
      fc.pre(Object.keys(fields).length > 0)
      const sent = { ...vs01({ fields }), addon, ...more }
      assert.deepEqual(await storedFrom(JSON.stringify(sent)), asJson(sent))
    }),
    { numRuns: 150 },
  ))

test('an appended record holds the value that was sent, whole, except for the listed normalisations', () =>
  fc.assert(
    fc.asyncProperty(map, map, text, unnamed, async (vs, dsc, narrative, more) => {
      const sent = { ...scn01({ vs_snapshot: vs, dsc_snapshot: dsc, narrative }), ...more }
      assert.deepEqual(await storedFrom(JSON.stringify(sent)), { ...asJson(sent), g1_tx_hash: null })
    }),
    { numRuns: 150 },
  ))

test('the form of the JSON text does not matter: blanks, escapes and the order of members', () =>
  fc.assert(
    fc.asyncProperty(map, fc.infiniteStream(fc.nat(2)), async (dsc, choices) => {
      const sent = scn01({ association_slug: 'forms', dsc_snapshot: dsc })
      const choose = () => choices.next().value as number
      const names = Object.keys(sent).sort(() => choose() - 1)
      const reordered = JSON.stringify(
        Object.fromEntries(names.map((name) => [name, sent[name]])),
        null,
        choose(),
      )
      const spelled = (part: string) =>
        part.length > 1 || choose() ? part : `\\u${part.charCodeAt(0).toString(16).padStart(4, '0')}`
      const escaped = reordered.replace(/"(\\.|[^"\\])*"/g, (quoted) =>
        quoted.replace(/\\u....|\\.|[a-z\u2028]/g, spelled),
      )
      const [first, second] = [take(JSON.stringify(sent)), take(escaped)]
      assert.ok(first.ok && 'record' in first && second.ok && 'record' in second)
      const one = await store.put(first.record, performance.now() + 10_000)
      const two = await store.put(second.record, performance.now() + 10_000)
      assert.ok(one.ok && two.ok)
      assert.equal(two.receipt.outcome, 'duplicate')
      assert.equal(two.receipt.id, one.receipt.id)
    }),
    { numRuns: 100 },
  ))

const validators = new Map(
  [...contracts.keys()].map((addon) => {
    const ajv = new Ajv2020({ keywords: ['x-not-expressed'], strictTypes: false })
    const schema = readFileSync(new URL(`../contracts/${addon}-1.0.schema.json`, import.meta.url), 'utf8')
    return [addon, ajv.compile(JSON.parse(schema))]
  }),
)

const members = {
  contract_version: fc.constantFrom('1.0', '1.0', '1.0', '1.1', 1),
  association_slug: fc.oneof(fc.constant('elm-court'), fc.stringMatching(/^[a-z0-9_-]{1,4}$/), text, value),
  association_channel_id: fc.oneof(fc.constant('118'), fc.stringMatching(/^[0-9]{18,22}$/), value),
  participant_id: fc.oneof(
    fc.constant('@5sb-8hm-54v'),
    fc.stringMatching(/^(SASE[0-9]{1,2}-)?[23bcf]{2,4}(-at-|@)[23eua]{3}-[23eua]{3}-[23eu]{3}$/),
    fc.stringMatching(/^[01][a-z2-7]{8,10}@[23eua]{3}-[23eu]{3}-[23eu]{3}$/),
    value,
  ),
  submitted_at: fc.oneof(
    fc.constant('2026-06-15T14:32:00Z'),
    fc.stringMatching(
      /^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?(Z|[+-][0-2][0-9]:?[0-6][0-9])$/,
    ),
    value,
  ),
  standing: fc.constantFrom('public', 'participant', 'professional', 'operator', 'admin', null),
  fields: fc.oneof(map, value),
  vs_code: fc.oneof(fc.stringMatching(/^VS-[0-9]{1,3}$/), value),
  perspective: fc.constantFrom('homeowner', 'professional', 'public_record', 'tenant', null),
  pinned_scenario_ids: fc.oneof(
    fc.array(text, { maxLength: 3 }),
    fc.dictionary(fc.stringMatching(/^0?[0-9]{1,2}$/), text, { maxKeys: 3 }),
    value,
  ),
  narrative: fc.oneof(text, value),
  vs_snapshot: fc.oneof(map, fc.constant([]), value),
  dsc_snapshot: fc.oneof(map, fc.constant([]), value),
  g1_tx_hash: value,
  receipt: value,
  g1_tx_hash_raw: value,
}

test('the published JSON Schema gives the same verdicts, as far as it can express the rules', () => {
  const seen = { accepted: 0, refused: 0 }
  fc.assert(
    fc.property(
      fc.constantFrom('vs01', 'dsc01', 'scn01'),
      fc.record(members, { requiredKeys: [] }),
      fc.subarray(Object.keys(members), { minLength: 0, maxLength: 2 }),
      (addon, odd, replaced) => {
        const right = addon === 'scn01' ? scn01() : { ...vs01(), addon }
        const changes = Object.fromEntries(replaced.map((name) => [name, odd[name as keyof typeof odd]]))
        const sent = asJson({ ...right, ...changes })
        const isValid = validators.get(addon)?.(sent) as boolean
        const accepted = take(JSON.stringify(sent))
        // This is the only rule here that a schema cannot express.
        const pins = sent.pinned_scenario_ids ?? []
        fc.pre(!(isValid && new Set(Object.values(pins)).size > 3))
        assert.equal(accepted.ok, isValid, JSON.stringify({ sent, accepted }))
        seen[isValid ? 'accepted' : 'refused']++
      },
    ),
    { numRuns: 4_000 },
  )
  assert.ok(seen.accepted > 200 && seen.refused > 200, JSON.stringify(seen))
})

test('a second reading of the specification gives the same verdict and the same record for any body', () => {
  const bodies = grammar(random(20261120), tokenSha256)
  const seen = { stored: 0, 400: 0, 422: 0 }
  for (let n = 0; n < 6_000; n++) {
    const body = bodies.body(n)
    const verdict = judge(body, tokenSha256)
    const taken = intake(body)
    const accepted = taken.ok ? accept(taken.value, taken.found, { tokenSha256, now }, contracts) : undefined
    const status = accepted === undefined ? 400 : accepted.ok ? 'stored' : 422
    assert.equal(status, verdict.status, body.toString())
    seen[status]++
    if (verdict.status !== 'stored' || !accepted?.ok) continue
    const { members, unhashed } = accepted.record
    assert.deepEqual(asJson(Object.fromEntries([...members, ...unhashed])), verdict.record)
  }
  for (const count of Object.values(seen)) assert.ok(count > 500, JSON.stringify(seen))
})
