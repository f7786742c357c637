/** The page opens the zips that file managers make, and refuses a zip that can be read in two ways. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readZip, ZipFault } from '../src/audit/page/zip.ts'
import { scratchDir } from './receiver.ts'

const hasZip = spawnSync('zip', ['-v']).status === 0
const options = hasZip ? {} : { skip: 'needs zip' }
const root = scratchDir()

const text = 'a line of a record, which packs well\n'.repeat(5000)

function madeByZip(name: string, ...flags: string[]): Buffer {
  const folder = join(root, name)
  mkdirSync(join(folder, 'scn01', 'kelp'), { recursive: true })
  writeFileSync(join(folder, 'scn01', 'kelp', 'records.json'), text)
  writeFileSync(join(folder, 'empty'), '')
  const made = spawnSync('zip', ['-qr', ...flags, '../made.zip', '.'], { cwd: folder })
  assert.equal(made.status, 0, String(made.stderr))
  const bytes = readFileSync(join(root, 'made.zip'))
  rmSync(join(root, 'made.zip'))
  return bytes
}

async function contents(zip: Uint8Array): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (const file of await readZip(new Blob([new Uint8Array(zip)]))) {
    found.set(file.name, await new Response(await file.stream()).text())
  }
  return found
}

/** Replaces a name everywhere, in the local header and in the directory. Both names have the same length. */
function renamed(zip: Buffer, from: string, to: string): Buffer {
  assert.equal(from.length, to.length)
  return Buffer.from(zip.toString('latin1').replaceAll(from, to), 'latin1')
}

const expected = new Map([
  ['scn01/kelp/records.json', text],
  ['empty', ''],
])

for (const [kind, flags] of [
  ['packed', []],
  ['stored', ['-0']],
  ['zip64', ['-fz']],
] as const) {
  test(`a zip gives its files: ${kind}`, options, async () => {
    const zip = madeByZip(kind, ...flags)
    const found = await contents(zip)
    assert.equal(zip.includes('PK\x06\x06'), kind === 'zip64')
    assert.deepEqual([...found].sort(), [...expected].sort())
  })
}

test('a zip with a comment gives its files', options, async () => {
  const zip = madeByZip('comment')
  const comment = Buffer.from('PK\x05\x06 is a comment that looks like an end')
  zip.writeUInt16LE(comment.length, zip.length - 2)
  const found = await contents(Buffer.concat([zip, comment]))
  assert.equal(found.get('scn01/kelp/records.json'), text)
})

test('a zip whose bytes were changed, or that was cut short, is refused', options, async () => {
  const zip = madeByZip('changed', '-0')
  const changed = Buffer.from(zip)
  changed[zip.indexOf('a line of a record') + 40] = 88
  await assert.rejects(contents(changed), ZipFault)
  await assert.rejects(contents(zip.subarray(0, -1)), ZipFault)
  await assert.rejects(contents(zip.subarray(1)), ZipFault)
  await assert.rejects(contents(Buffer.from('no zip at all')), ZipFault)
})

test(
  'a zip is refused if it is encrypted or if its names lead elsewhere or occur twice',
  options,
  async () => {
    const zip = madeByZip('names')
    await assert.rejects(contents(renamed(zip, 'scn01/kelp', 'scn01/../a')), /leads out/)
    await assert.rejects(contents(renamed(zip, 'scn01/kelp', '/cn01/kelp')), /leads out/)
    await assert.rejects(contents(renamed(zip, 'scn01/kelp/', 'scn01\\kelp/')), /leads out/)
    await assert.rejects(contents(renamed(zip, 'scn01/kelp/', 'scn01/././/')), /leads out/)
    mkdirSync(join(root, 'twice'))
    writeFileSync(join(root, 'twice', 'fmpty'), '')
    const two = renamed(madeByZip('twice'), 'fmpty', 'empty')
    await assert.rejects(contents(two), /two files of one name/)
    await assert.rejects(contents(madeByZip('secret', '-P', 'secret')), /encrypted/)
  },
)
