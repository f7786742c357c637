/** A command of the auditor that gets an argument it does not know ends at once, with a sentence. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { endpointUrl } from '../src/audit/g1/rpc.ts'
import { build } from './audit-build.ts'
import { database } from './postgres/said.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'

async function refused(...args: string[]): Promise<string> {
  const { exit, err } = await audit(...args)
  assert.equal(exit, 2, `${args.join(' ')}: ${err}`)
  return err
}

test('list accepts at most one argument', async () => {
  assert.match(await refused('list', 'heron-ridge', 'plum-grove'), /plum-grove|argument/)
})

test('an endpoint is an http or https address without a password', async () => {
  assert.ok(endpointUrl('https://node.example/rpc'))
  const record = ['g1', 'package.json']
  for (const url of [
    'ftp://localhost/',
    'file:///etc/passwd',
    'node.example',
    'http://me:secret@localhost/',
  ]) {
    const said = await refused(...record, '--rpc', url)
    assert.match(said, /--rpc takes an http/)
    assert.ok(!said.includes('secret'))
  }
})

test('an association is a slug, with an addon before it or without', async () => {
  const root = scratchDir()
  build(root, 1)
  const not = {
    'Heron-Ridge': /a slug is made of lower-case letters/,
    'scn01/../heron-ridge': /a slug is made of lower-case letters/,
    'scn02/heron-ridge': /the part before "\/" is an addon/,
  }
  for (const [named, said] of Object.entries(not))
    assert.match(await refused('list', named, '--data', root), said)
})

test('an extrinsic is about the heads of one file, and is hexadecimal', async () => {
  const root = scratchDir()
  const { directory } = build(root, 1)
  const heads = join(directory, 'heads.txt')
  writeFileSync(heads, (await audit('heads', '--data', root)).out)
  const verify = ['verify', '--data', root]
  const once = /give --heads once/
  assert.match(await refused(...verify, '--extrinsic', '00'), once)
  assert.match(await refused(...verify, '--heads', heads, '--heads', heads, '--extrinsic', '00'), once)
  assert.match(await refused(...verify, '--heads', heads, '--extrinsic', 'xy'), /as hexadecimal digits/)
})

test('the program of the database shows its commands, and refuses one that it does not have', async () => {
  const bare = await database()
  const asked = await database('--help')
  const help = /^ +mirror /m
  assert.deepEqual([bare.exit, asked.exit], [2, 0])
  for (const { out } of [bare, asked]) assert.match(out, help)
  const unknown = await database('drop')
  assert.deepEqual([unknown.exit, unknown.out], [2, ''])
  assert.match(unknown.err, /there is no command "drop"/)
  assert.match((await database('mirror', '--help')).out, /--check/)
})

test('a head of no records has the hash of nothing, and every other one is refused as no head', async () => {
  const root = scratchDir()
  build(root, 1)
  const verify = (head: string) => audit('verify', '--data', root, '--expect', `scn01/plum-grove-21:${head}`)
  assert.ok((await verify(`0:${'0'.repeat(64)}`)).exit < 2)
  for (const head of [`0:${'1'.repeat(64)}`, `-1:${'0'.repeat(64)}`, '1:abc', '1'])
    assert.match((await verify(head)).err, /expected ADDON\/SLUG:SEQUENCE:SHA256/, head)
})
