/** No name leads out of the data directory, even if a contract accepted such a name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownTemporaryPattern, tornPattern } from '../src/records/layout.ts'
import {
  associationDirectories,
  isSafeName,
  placekeyFile,
  temporaryIn,
  tornName,
} from '../src/storage/files/paths.ts'

const odd = [
  '',
  '.',
  '..',
  '../x',
  'a/b',
  '/',
  'a\0',
  '.hidden',
  '-rf',
  'a.b',
  'é',
  'a b',
  'a\n',
  'x'.repeat(129),
]

test('a name that is not a plain file name is refused in each of its three places', () => {
  const good = { addon: 'vs01', association_slug: 'heron-ridge', participant_id: '@5sb-8hm-54v' }
  assert.equal(placekeyFile('/data', good), '/data/vs01/heron-ridge/@5sb-8hm-54v.json')
  for (const name of odd) {
    assert.ok(!isSafeName(name), JSON.stringify(name))
    for (const member of ['addon', 'association_slug', 'participant_id'] as const)
      assert.throws(() => placekeyFile('/data', { ...good, [member]: name }), /not a plain file name/)
    for (const member of ['addon', 'association_slug'] as const)
      assert.throws(
        () => associationDirectories('/data', { ...good, [member]: name }),
        /not a plain file name/,
      )
  }
  for (const name of ['a', '_', '@', '0-', 'x'.repeat(128)]) assert.ok(isSafeName(name), name)
})

test('the program recognises the names that it gives', () => {
  assert.match(tornName(new Date()), tornPattern)
  const temporary = temporaryIn('/data').slice('/data/'.length)
  assert.match(temporary, ownTemporaryPattern)
  assert.notEqual(temporaryIn('/data').slice('/data/'.length), temporary)
})
