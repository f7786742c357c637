/** A command of the auditor that gets an argument it does not know ends at once, with a sentence. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endpointUrl } from '../src/audit/g1/rpc.ts'
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
