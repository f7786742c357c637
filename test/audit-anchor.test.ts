/** Heads that others keep: in the copied text of a post, and in the comment of a transfer on the Ğ1 chain. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { blake2AsHex } from '@polkadot/util-crypto'
import { blake2b256 } from '../src/audit/g1/blake2b.ts'
import { bytesFromHex } from '../src/audit/g1/hex.ts'
import { build, slug } from './audit-build.ts'
import { type SyntheticChain, serveChain, timeOf, vectors } from './fixtures/g1/chain.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'

const withComment = vectors.extrinsics.find(({ note }) => note?.startsWith('batchAll'))!

/** A recorded batch of a transfer and a comment, whose comment is replaced by this one of the same length. */
function payingFor(comment: string): string {
  const ascii = (text: string): string => Buffer.from(text, 'latin1').toString('hex')
  const hex = withComment.extrinsic_hex.replace(ascii(`scn01:${'a3'.repeat(32)}`), ascii(comment))
  assert.notEqual(hex, withComment.extrinsic_hex)
  return hex
}

async function anchoredHeads() {
  const root = scratchDir()
  build(root, 3)
  const { out, exit } = await audit('heads', '--data', root, '--digest')
  assert.equal(exit, 0)
  const file = join(scratchDir(), 'heads.txt')
  writeFileSync(file, out)
  const [head, last] = out.trimEnd().split('\n') as [string, string]
  return { root, file, head, comment: last.replace(/^# /, '') }
}

const chainWith = (hex: string): SyntheticChain => ({
  name: 'synthetic chain for tests',
  start: Date.UTC(2026, 6, 2),
  head: 2_000,
  extrinsics: new Map([[900, [withComment.extrinsic_hex, hex]]]),
})

test('heads --digest gives the comment: blake2b-256 over the RFC 8785 form of the list', async () => {
  const { head, comment, root, file } = await anchoredHeads()
  assert.match(head, new RegExp(`^scn01/${slug}:3:[0-9a-f]{64}$`))
  assert.equal(comment, `heads:${blake2AsHex(JSON.stringify([head]), 256).slice(2)}`)
  // The line of the comment does not keep the command from comparing the other lines with the file.
  assert.equal((await audit('verify', '--data', root, '--copy', '--heads', file)).exit, 0)
})

test('verify --rpc finds the comment in a finalized block, and says since when exactly these heads exist', async () => {
  const { root, file, comment } = await anchoredHeads()
  const chain = chainWith(payingFor(comment))
  await using server = await serveChain(chain)
  const time = new Date(timeOf(chain, 900))
  const about = ['verify', '--data', root, '--copy', '--heads', file, '--rpc', server.url, '--anchored']
  const found = await audit(...about, time.toISOString())
  assert.equal(found.exit, 0, found.out)
  assert.match(
    found.out.replace(/\s+/g, ' '),
    new RegExp(`anchored: Finalized block 900 of ${time.toISOString()}`),
  )
  const early = new Date(timeOf(chain, 5)).toISOString()
  assert.equal((await audit(...about, early)).exit, 1, 'not within an hour of that time')
  assert.equal((await audit(...about, 'yesterday')).exit, 2)
  // A list with other heads has another digest.
  writeFileSync(file, `${file}: other heads\n${comment}\nscn01/${slug}:1:${'0'.repeat(63)}1\n`)
  assert.match((await audit(...about, time.toISOString())).out, /not found in window/)
})

test('verify --extrinsic says who wrote the comment, and that bytes alone do not prove the chain', async () => {
  const { root, file, comment } = await anchoredHeads()
  const verify = ['verify', '--data', root, '--copy', '--heads', file, '--extrinsic']
  const bytes = payingFor(comment)
  const offline = await audit(...verify, bytes)
  assert.equal(offline.exit, 1)
  assert.match(offline.out.replace(/\s+/g, ' '), /NOT checked: The comment names exactly these heads/)
  const another = await audit(...verify, payingFor(`heads:${'0'.repeat(64)}`))
  assert.deepEqual([another.exit, /not these heads/.test(another.out)], [1, true])
  const chain = chainWith(bytes)
  await using server = await serveChain(chain)
  const at = ['--rpc', server.url, '--anchored', new Date(timeOf(chain, 900)).toISOString(), '--json']
  const online = await audit(...verify, bytes, ...at)
  assert.equal(online.exit, 0, online.out)
  const { verdict, block } = JSON.parse(online.out.split('\n')[0] as string)
  assert.deepEqual([verdict, block.number], ['anchored', 900])
  assert.ok(online.out.includes(vectors.addresses.alice_ed25519_g1), online.out)
  assert.equal(blake2b256(bytesFromHex(bytes)!).length, 66)
  assert.equal((await audit(...verify, bytes, '--heads', file)).exit, 2, 'two files of heads')
})

test('verify --heads accepts the text of a post, and reports a head that was cut', async () => {
  const { root, file, head } = await anchoredHeads()
  const verify = async (text: string) => {
    writeFileSync(file, text)
    return audit('verify', '--data', root, '--copy', '--heads', file)
  }
  const post = `Heads of the records of hub.example on 2026-07-03\nAnna wrote a minute ago\n\n • ${head} \u00a0\n1 comment, 12:30:59\n`
  const whole = await verify(post)
  assert.equal(whole.exit, 0, whole.out + whole.err)
  assert.match(whole.out, /WHOLE/)
  const digit = head.endsWith('0') ? '1' : '0'
  assert.equal((await verify(post.replace(head, head.slice(0, -1) + digit))).exit, 1)
  for (const cut of [head.slice(0, -1), `${head}0`, head.slice(0, -20)])
    assert.equal((await verify(`${post}${cut}\n`)).exit, 2, cut)
  assert.equal((await verify('Nothing to see here\n')).exit, 2)
})
