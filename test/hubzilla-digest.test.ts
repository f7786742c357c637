/** The digest and the id that the PHP client computes are those of the auditor and of the receiver. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { test } from 'node:test'
import { blake2AsHex } from '@polkadot/util-crypto'
import type { Json, JsonObject } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { accept } from '../src/envelope/accept.ts'
import { utf8 } from '../src/records/bytes.ts'
import { canonicalBytes } from '../src/records/canonical.ts'
import { address, type ClientAnswer, client, php, place, sha256, skip } from './hubzilla-site.ts'
import { scn01 } from './receiver.ts'

const context = { tokenSha256: 'f'.repeat(64), now: new Date() }

test("the digest is the auditor's over 5,000 generated records", { skip }, async (t) => {
  const site = place(t)
  const records = Array.from({ length: 5000 }, generatedRecord)
  const answers = await site.say<[string, string, string]>(['digest'], ...records)
  assert.equal(answers.length, records.length)
  let compared = 0
  for (const [index, record] of records.entries()) {
    const {
      g1_tx_hash: _h,
      g1_tx_hash_raw: _r,
      submitted_at: _s,
      node_token_hash: _n,
      receipt: _x,
      ...content
    } = record
    const [digest, canonical, id] = answers[index]!
    assert.equal(canonical, utf8(canonicalBytes(record)))
    assert.equal(`0x${digest}`, blake2AsHex(canonicalBytes(content), 256))
    assert.equal(digest, contentDigest(record).replace(/^0x/, ''))
    const { node_token_hash: _t, receipt: _p, ...sent } = record
    const accepted = accept(sent as JsonObject, [], context, contracts)
    if (accepted.ok) {
      const stored = canonicalBytes(Object.fromEntries(accepted.record.members))
      assert.equal(id, sha256(stored), JSON.stringify(sent))
      compared++
    } else assert.ok('g1_tx_hash_raw' in record)
  }
  assert.ok(compared > 3000)
})

test('the digest before the post is that of the stored record', { skip }, async (t) => {
  const site = place(t)
  await site.start()
  const [digest, answer] = await site.eval<string & ClientAnswer>(`
    ini_set('serialize_precision', '17'); // some php.ini files set this
    $envelope = CivicReceiver\\V2\\Client::envelope('scn01', [
      'association_slug' => 'heron-ridge', 'association_channel_id' => 7, 'participant_id' => '${address}',
      'standing' => 'operator', 'narrative' => "\\u{2028}\\u{1F600}\\x1f/", 'vs_snapshot' => [],
      'dsc_snapshot' => ["\\0nul" => -0.0, 'x' => 0.1, '10' => 1e21, '9' => 1e-7, 'l' => [], "\\u{FFFF}" => 1, "\\u{10000}" => 2],
      'pinned_scenario_ids' => [3 => 'b', 1 => 'a', 2 => 'b'],
    ]);
    $say(CivicReceiver\\V2\\Client::digest($envelope));
    $say($civic->submit($envelope + ['g1_tx_hash' => str_repeat('A', 64)]));
  `)
  assert.equal(answer?.result, 'stored', answer?.detail)
  assert.match(digest!, /^[0-9a-f]{64}$/)
  assert.deepEqual(site.records()[0]?.pinned_scenario_ids, ['a', 'b'], 'in key order, as the receiver has it')
  assert.equal(contentDigest(site.records()[0]!).replace(/^0x/, ''), digest)
})

test('without sodium the digest is null and nothing else changes', { skip }, () => {
  const script = `require $argv[1]; echo json_encode(CivicReceiver\\V2\\Record::digest(['addon' => 'scn01']));`
  const without = ['-d', 'disable_functions=sodium_crypto_generichash']
  const out = execFileSync(php, [...without, '-r', script, '--', join(client, 'civic_receiver.php')])
  assert.equal(String(out), 'null')
})

const alphabet = [
  ...'aZ09 /\\"\'<&{}[]:,~^',
  ...Array.from({ length: 33 }, (_, code) => String.fromCharCode(code)),
  ...'\u007f\u0080\u00e9\u00df\u0394\u05d0\u2028\u2029\ud7ff\ue000\ufeff\ufffd\uffff',
  ...['\u{10000}', '\u{1f600}', '\u{1f1e9}\u{1f1ea}', '\u{10ffff}', 'e\u0301'],
]

/** Payment hashes as wallets and people write them, and texts that are none. */
const hashes = [
  null,
  false,
  true,
  7,
  '',
  ' \u00a0\u2028',
  `0x${'a'.repeat(64)}`,
  `\ufeff\t${'aB'.repeat(32)}\u3000`,
  `${'\u{1f600}x'.repeat(200)}`,
  'none\u0085',
]

const pick = <T>(from: readonly T[]): T => from[randomInt(from.length)]!

const generatedText = () => Array.from({ length: randomInt(12) }, () => pick(alphabet)).join('')

function generatedNumber(): number {
  const bits = new DataView(new ArrayBuffer(8))
  bits.setUint32(0, randomInt(2 ** 32))
  bits.setUint32(4, randomInt(2 ** 32))
  const any = bits.getFloat64(0)
  const nasty = [
    0,
    -0,
    1e21,
    1e-7,
    1e20,
    999999999999999900000,
    0.000001,
    5e-324,
    2 ** 53 - 1,
    -(2 ** 53) + 1,
    0.1,
    1.0,
  ]
  const power = 2 ** randomInt(-1074, 1024)
  return pick([
    Number.isFinite(any) ? any : 0.5,
    pick(nasty),
    power,
    randomInt(100_000) / 100,
    -randomInt(1000),
  ])
}

function generatedValue(depth: number): Json {
  const kind = randomInt(depth > 3 ? 5 : 7)
  if (kind < 2) return generatedText()
  if (kind === 2) return generatedNumber()
  if (kind === 3) return pick([true, false, null])
  if (kind === 4) return pick<Json>([[], {}, '', '0', 'null'])
  if (kind === 5) return Array.from({ length: randomInt(4) }, () => generatedValue(depth + 1))
  return generatedMap(depth + 1)
}

function generatedMap(depth: number): Record<string, Json> {
  const keys = Array.from({ length: randomInt(6) }, () =>
    pick([generatedText(), String(randomInt(20)), '', 'constructor']),
  )
  // A PHP object cannot have a member whose name begins with NUL. An array can; another test uses one.
  const entries = keys
    .filter((key) => !key.startsWith('\0'))
    .map((key) => [key, generatedValue(depth)] as const)
  return Object.fromEntries(entries)
}

function generatedRecord(): Record<string, Json> {
  return {
    ...scn01({}),
    pinned_scenario_ids: ['DSC-01-S03', 'DSC-06-S11'].slice(randomInt(2)),
    narrative: generatedText(),
    vs_snapshot: generatedMap(0),
    dsc_snapshot: generatedMap(0),
    g1_tx_hash: pick<Json>(hashes),
    ...pick<Record<string, Json>>([{}, { g1_tx_hash_raw: 'x' }, { extra: generatedValue(0) }]),
    node_token_hash: 'f'.repeat(64),
    receipt: { id: 'x', sequence: 1 },
  }
}
