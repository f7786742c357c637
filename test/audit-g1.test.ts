/** The commands for Ğ1 without a network: hashes over bytes, the content digest, and the content of an extrinsic. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { g1Address } from '../src/audit/g1/address.ts'
import { blake2b256 } from '../src/audit/g1/blake2b.ts'
import { contentDigest } from '../src/audit/g1/digest.ts'
import { decodeExtrinsic } from '../src/audit/g1/extrinsic.ts'
import { bytesFromHex } from '../src/audit/g1/hex.ts'
import { proveExtrinsic } from '../src/audit/g1/proof.ts'
import { checkSignature } from '../src/audit/g1/signature.ts'
import { vectors } from './fixtures/g1/chain.ts'

const bytes = (hex: string): Uint8Array => bytesFromHex(hex)!
const constructed = vectors.extrinsics.filter(({ kind }) => kind === 'constructed')
const transfer = constructed.find(({ note }) => note === 'transfer 1 G1')!
const withComment = constructed.find(({ note }) => note?.startsWith('batchAll'))!
const alice = vectors.addresses.alice_ed25519_g1

const record: JsonObject = {
  addon: 'scn01',
  participant_id: '22c@5sb-8hm-54v',
  submitted_at: '2026-03-08T00:10:00Z',
  narrative: 'x',
  g1_tx_hash: withComment.extrinsic_hash,
}

/** The vector with another digest in its comment. Both have 64 hex digits, so every length in it stays right. */
function commented(digest: string): string {
  const digits = Buffer.from(digest.replace(/^0x/, ''), 'latin1').toString('hex')
  return withComment.extrinsic_hex.replace(Buffer.from('a3'.repeat(32), 'latin1').toString('hex'), digits)
}

test('blake2b-256 of each recorded and constructed extrinsic is its known hash', () => {
  assert.equal(vectors.extrinsics.length >= 11, true)
  for (const { extrinsic_hex, extrinsic_hash } of vectors.extrinsics) {
    assert.equal(blake2b256(bytes(extrinsic_hex)), extrinsic_hash)
  }
})

test('hashes the bytes and never their hex text', () => {
  const { input_utf8, hex } = vectors.blake2b_256
  assert.equal(blake2b256(new TextEncoder().encode(input_utf8)), `0x${hex}`)
  assert.notEqual(blake2b256(new TextEncoder().encode('0xdead')), blake2b256(bytes('0xdead')))
  assert.deepEqual(bytesFromHex('0xdead'), Uint8Array.of(0xde, 0xad))
  assert.equal(bytesFromHex('0xdea'), undefined)
  assert.equal(bytesFromHex('0xdeag'), undefined)
})

test('prints public keys as Ğ1 addresses, prefix 4450', () => {
  assert.equal(g1Address(bytes(vectors.addresses.alice_sr25519_pubkey)), vectors.addresses.alice_g1)
})

test('the content digest leaves out the members that exist only after the payment, and no others', () => {
  const digest = contentDigest(record)
  const after = {
    g1_tx_hash: null,
    g1_tx_hash_raw: 'x',
    submitted_at: 'later',
    node_token_hash: 'x',
    receipt: { id: 'x' },
  }
  assert.equal(contentDigest({ ...record, ...after }), digest)
  assert.notEqual(contentDigest({ ...record, narrative: 'y' }), digest)
  assert.notEqual(contentDigest({ ...record, unknown_member: null }), digest)
})

test('the content digest does not depend on the order of members, and is blake2b-256 of their RFC 8785 form', () => {
  const reversed = Object.fromEntries(Object.entries(record).reverse())
  assert.equal(contentDigest(reversed), contentDigest(record))
  const canonical = '{"addon":"scn01","narrative":"x","participant_id":"22c@5sb-8hm-54v"}'
  assert.equal(contentDigest(record), blake2b256(new TextEncoder().encode(canonical)))
})

test('a transfer with the comment of the record is proved to be bound, with payer, payee and amount', async () => {
  const extrinsic = bytes(commented(contentDigest(record)))
  const proof = await proveExtrinsic(extrinsic, { ...record, g1_tx_hash: blake2b256(extrinsic) })
  assert.equal(proof.hash_matches, true)
  assert.equal(proof.comment, 'this record')
  assert.equal(proof.payer, alice)
  assert.deepEqual(
    proof.payments.map(({ call, amount }) => [call, amount]),
    [['balances.transfer_keep_alive', '1.00 Ğ1']],
  )
  assert.match(proof.payments[0]!.payee, /^g1/)
})

test('digits of the comment may be capitals', async () => {
  const extrinsic = bytes(commented(contentDigest(record).slice(2).toUpperCase()))
  assert.equal((await proveExtrinsic(extrinsic, record)).comment, 'this record')
})

test('the comment of another record, the comment of this record, and no comment are distinguished', async () => {
  assert.equal((await proveExtrinsic(bytes(withComment.extrinsic_hex), record)).comment, 'another record')
  const plain = await proveExtrinsic(bytes(transfer.extrinsic_hex), record)
  assert.deepEqual([plain.comment, plain.hash_matches, plain.payments.length], ['none', false, 1])
})

test('a comment with anything around the digest is not that comment', async () => {
  const digest = contentDigest(record)
  const swapped = commented(digest).replace(
    Buffer.from('scn01:').toString('hex'),
    Buffer.from('scn02:').toString('hex'),
  )
  assert.equal((await proveExtrinsic(bytes(swapped), record)).comment, 'none')
})

test('an extrinsic of another chain is said to be not recognised, whatever its bytes hold', async () => {
  const real = vectors.extrinsics.filter(({ kind, signed }) => kind === 'real' && signed)
  assert.equal(real.length, 4)
  for (const { extrinsic_hex } of real) {
    const { comment, payments, unread } = await proveExtrinsic(bytes(extrinsic_hex), record)
    assert.deepEqual([comment, payments], ['call not recognised', []])
    assert.notEqual(unread, null)
  }
})

test('an inherent is no payment, in version 4 and in version 5', async () => {
  for (const hex of [vectors.g1_timestamp_inherent.bare_v4, vectors.g1_timestamp_inherent.bare_v5]) {
    assert.equal(decodeExtrinsic(bytes(hex)).kind, 'bare')
    assert.match((await proveExtrinsic(bytes(hex), record)).unread!, /inherent/)
  }
})

test('a signature over a metadata hash, which is not in the extrinsic, is not checked', async () => {
  const decoded = decodeExtrinsic(bytes(withComment.extrinsic_hex))
  assert.equal(decoded.kind, 'signed')
  if (decoded.kind !== 'signed') return
  const facts = {
    genesis: bytes(`0x${'11'.repeat(32)}`),
    specVersion: 1_000,
    transactionVersion: 1,
    eraBlock: undefined,
  }
  const form = decoded.forms[0]!
  assert.deepEqual(await checkSignature(decoded, form, facts), { verdict: 'valid' })
  assert.equal((await checkSignature(decoded, { ...form, mode: 1 }, facts)).verdict, 'not checked')
})

test('a general transaction of version 5 is named as such, not guessed at', () => {
  const decoded = decodeExtrinsic(Uint8Array.of(0x0c, 0x45, 0x00, 0x06))
  assert.deepEqual([decoded.kind, /version 5/.test((decoded as { why: string }).why)], ['unreadable', true])
})

test('no prefix, no extension and no single changed byte of an extrinsic makes the decoder throw', async () => {
  const whole = bytes(withComment.extrinsic_hex)
  for (let length = 0; length < whole.length; length++) {
    assert.equal(decodeExtrinsic(whole.subarray(0, length)).kind, 'unreadable')
  }
  assert.equal(decodeExtrinsic(Uint8Array.of(...whole, 0)).kind, 'unreadable')
  for (let at = 0; at < whole.length; at++) {
    const changed = Uint8Array.from(whole)
    changed[at] = changed[at]! ^ 0xff
    assert.equal((await proveExtrinsic(changed, record)).hash_matches, false)
  }
})
