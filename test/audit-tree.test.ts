/** What `verify` reports about names, modes and leftovers below the data directory, and about vs01 and dsc01 files. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { longestLine } from '../src/records/lines.ts'
import { association, build, lines, makeDirectory, numbered, slug, verify } from './audit-build.ts'
import { commandOf } from './bundle.ts'
import { fileOf, linesOf } from './disk.ts'
import { isRoot } from './needs.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'
import { latest, placekey } from './variants.ts'

const temporaryName = '.tmp-4711-0123456789ab'

const vitalSigns = latest('vs01')

const indented = (record: JsonObject): string => `${JSON.stringify(record, null, 2)}\n`

/** Makes an association of scn01 and one file of vs01, as the receiver leaves them. */
function wholeDirectory(root: string): string {
  build(root, 3)
  makeDirectory(join(root, 'vs01'))
  makeDirectory(join(root, 'vs01', slug))
  const file = join(root, 'vs01', slug, `${placekey}.json`)
  writeFileSync(file, indented(vitalSigns), { mode: 0o640 })
  return file
}

const old = new Date(Date.now() - 3_600_000)

/** Each change is made to a whole directory. `told` lists what `verify` must then report, as `kind path`; a note ends in `?`. */
const cases: Record<string, { change: (root: string, file: string) => void; told: string[] }> = {
  'nothing but what belongs there': { change: () => {}, told: [] },
  'a foreign file at the top': {
    change: (root) => writeFileSync(join(root, 'notes.txt'), 'x'),
    told: ['foreign notes.txt'],
  },
  'a foreign directory at the top': {
    change: (root) => mkdirSync(join(root, 'backup')),
    told: ['foreign backup'],
  },
  'a file where an association belongs': {
    change: (root) => writeFileSync(join(root, 'scn01', 'x.json'), '{}'),
    told: ['foreign scn01/x.json'],
  },
  'a directory that is no slug': {
    change: (root) => mkdirSync(join(root, 'vs01', 'Plum Grove')),
    told: ['foreign vs01/Plum Grove'],
  },
  'a hidden file beside the records': {
    change: (root) => writeFileSync(join(root, 'scn01', slug, '.records.json.swp'), 'x'),
    told: [`foreign scn01/${slug}/.records.json.swp`],
  },
  'a symbolic link instead of the records': {
    change: (root) => {
      rmSync(association(root).records)
      symlinkSync('/dev/zero', association(root).records)
    },
    told: [`link scn01/${slug}/records.json`],
  },
  'a symbolic link instead of an association': {
    change: (root) => symlinkSync(join(root, 'scn01', slug), join(root, 'scn01', 'other')),
    told: ['link scn01/other'],
  },
  'a pipe, which must not be waited for': {
    change: (root) =>
      void spawnSync('sh', ['-c', 'mkfifo "$0"', join(root, 'vs01', slug, '23c@5sb-8hm-54v.json')]),
    told: [`foreign vs01/${slug}/23c@5sb-8hm-54v.json`],
  },
  'a file that everybody may read': {
    change: (_root, file) => chmodSync(file, 0o644),
    told: [`mode vs01/${slug}/${placekey}.json`],
  },
  'a file that the group may not read': {
    change: (_root, file) => chmodSync(file, 0o600),
    told: [`mode vs01/${slug}/${placekey}.json?`],
  },
  'a second name for a file': {
    change: (root, file) => linkSync(file, join(root, '..', `${process.pid}-second-name`)),
    told: [`hard link vs01/${slug}/${placekey}.json?`],
  },
  'an old temporary file': {
    change: (_root, file) => {
      const path = join(file, '..', temporaryName)
      writeFileSync(path, '')
      utimesSync(path, old, old)
    },
    told: [`temporary vs01/${slug}/${temporaryName}?`],
  },
  'a temporary file of this moment': {
    change: (_root, file) => writeFileSync(join(file, '..', temporaryName), ''),
    told: [],
  },
  'the lock of a receiver at work': {
    change: (root) => mkdirSync(join(root, 'scn01', slug, 'records.json.lock')),
    told: [],
  },
  'a stale lock that a process was killed over': {
    change: (root) => {
      const aside = join(root, 'scn01', slug, 'records.json.lock.stale-4711')
      mkdirSync(aside)
      utimesSync(aside, old, old)
    },
    told: [`temporary scn01/${slug}/records.json.lock.stale-4711?`],
  },
  'bytes that a recovery kept': {
    change: (root) =>
      writeFileSync(join(root, 'scn01', slug, 'records.json.torn-20260702T063001000Z'), '{', { mode: 0o640 }),
    told: [`torn scn01/${slug}/records.json.torn-20260702T063001000Z?`],
  },
  'a torn end that is longer than any record, which no recovery kept': {
    change: (root) => {
      const torn = join(root, 'scn01', slug, 'records.json.torn-20260702T063001000Z')
      writeFileSync(torn, '{', { mode: 0o640 })
      truncateSync(torn, longestLine + 1)
    },
    told: [
      `torn scn01/${slug}/records.json.torn-20260702T063001000Z?`,
      `torn scn01/${slug}/records.json.torn-20260702T063001000Z`,
    ],
  },
  'a receiver that is paused': {
    change: (root) => writeFileSync(join(root, '.paused'), 'moving house'),
    told: ['paused .paused?'],
  },
  'what a checkout and a receiver over a database keep at the top': {
    change: (root) => {
      writeFileSync(join(root, '.gitignore'), '*')
      writeFileSync(join(root, '.postgres.json'), '{}', { mode: 0o640 })
    },
    told: [],
  },
  'a token that others may read': {
    change: (root) => {
      writeFileSync(join(root, '.node_token'), 'x')
      chmodSync(join(root, '.node_token'), 0o644)
    },
    told: ['mode .node_token'],
  },
  'a Placekey file under another name': {
    change: (root, file) => {
      writeFileSync(join(root, 'vs01', slug, '23c@5sb-8hm-54v.json'), readFileSync(file), { mode: 0o640 })
    },
    told: [`contract vs01/${slug}/23c@5sb-8hm-54v.json`],
  },
  'a file that is cut': {
    change: (_root, file) => writeFileSync(file, readFileSync(file).subarray(0, 100)),
    told: [`contract vs01/${slug}/${placekey}.json`],
  },
  'a file that no envelope could fill': {
    change: (_root, file) => truncateSync(file, 2 ** 31),
    told: [`contract vs01/${slug}/${placekey}.json`],
  },
  'an empty file': {
    change: (_root, file) => writeFileSync(file, ''),
    told: [`contract vs01/${slug}/${placekey}.json`],
  },
  'a file without a receipt': {
    change: (_root, file) => writeFileSync(file, indented({ ...vitalSigns, receipt: {} })),
    told: [`contract vs01/${slug}/${placekey}.json`],
  },
  'a file that breaks the contract': {
    change: (_root, file) => writeFileSync(file, indented({ ...vitalSigns, standing: 'king' })),
    told: [`contract vs01/${slug}/${placekey}.json`],
  },
  'a file with a key twice': {
    change: (_root, file) => {
      writeFileSync(file, indented(vitalSigns).replace('"addon"', '"standing": "participant",\n  "addon"'))
    },
    told: [`contract vs01/${slug}/${placekey}.json`],
  },
}

for (const [name, { change, told }] of Object.entries(cases)) {
  test(`verify, with ${name}`, async () => {
    const root = scratchDir()
    const file = wholeDirectory(root)
    change(root, file)
    const { exit, told: all } = await verify(root)
    rmSync(join(root, '..', `${process.pid}-second-name`), { force: true })
    const shown = all
      .filter(({ type }) => type !== 'summary')
      .map(({ type, kind, path }) => `${kind} ${path}${type === 'note' ? '?' : ''}`)
    assert.deepEqual(shown, told)
    assert.equal(exit, told.some((each) => !each.endsWith('?')) ? 1 : 0)
  })
}

test('--copy does not check modes', async () => {
  const root = scratchDir()
  const file = wholeDirectory(root)
  chmodSync(file, 0o666)
  assert.equal((await verify(root)).exit, 1)
  assert.equal((await verify(root, '--copy')).exit, 0)
})

test('a directory that this user may not open is a finding', async () => {
  const root = scratchDir()
  wholeDirectory(root)
  chmodSync(root, 0o755)
  chmodSync(join(root, 'scn01'), 0o755)
  chmodSync(join(root, 'vs01'), 0)
  const somebody = isRoot ? { uid: 65_534, gid: 65_534 } : {}
  const [program, ...args] = await commandOf('scripts/audit.ts')
  const verify = [...args, 'verify', '--copy', '--data', root, '--json']
  const { status, stdout } = spawnSync(program, verify, { encoding: 'utf8', ...somebody })
  chmodSync(join(root, 'vs01'), 0o700)
  assert.equal(status, 1)
  assert.match(stdout, /"kind":"unreadable","path":"vs01"/)
})

/** The bytes that a copy can hold when it is taken while an append overwrites the closing: some of the three bytes old, the rest new. */
for (const [name, seam] of Object.entries({
  'all three': '\n]\n',
  'the first two': '\n]{',
  'the first': '\n\n{',
})) {
  test(`a copy that caught the old end and the new record together (${name} bytes old) is not called altered`, async () => {
    const root = scratchDir()
    const { records } = build(root, 6)
    const text = readFileSync(records, 'utf8').split(',\n{')
    writeFileSync(records, `${text.slice(0, 4).join(',\n{')}${seam}${text.slice(4).join(',\n{')}`)
    for (const more of [[], ['--chain']]) {
      const { exit, told } = await verify(root, ...more)
      assert.deepEqual(
        told.map(({ type, kind }) => kind ?? type),
        ['seam', 'summary'],
      )
      assert.equal(exit, 0)
    }
  })
}

test('a line longer than any record ends the reading, and is reported', async () => {
  const root = scratchDir()
  const { records } = build(root, 6)
  const [first, ...others] = linesOf(records)
  writeFileSync(records, fileOf([first!, 'x'.repeat(17 * 1024 * 1024), ...others]))
  const { found } = await verify(root, '--chain')
  assert.equal(found.includes('too long line 3'), true, found.join())
})

test('findings show a path as text, whatever characters a name has', async () => {
  const root = scratchDir()
  wholeDirectory(root)
  writeFileSync(join(root, 'evil\u001b[2J\u202e.txt'), 'x')
  const { out } = await audit('verify', '--data', root)
  assert.match(out, /evil\\u\{1b\}\[2J\\u\{202e\}\.txt/)
  assert.equal(out.includes('\u001b'), false)
})

test('many findings of one kind are counted, not all printed', async () => {
  const root = scratchDir()
  wholeDirectory(root)
  for (let index = 0; index < 50; index++) writeFileSync(join(root, `foreign-${index}`), '')
  const { out } = await audit('verify', '--data', root)
  assert.match(out, /… and 30 more of the kind "foreign"/)
  assert.equal((await verify(root)).found.length, 50)
})

test('an empty records file is a note, unless a head or receipt names records in it', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 3)
  writeFileSync(records, '')
  assert.deepEqual((await verify(root)).found, ['shortened line undefined'])
  rmSync(head)
  assert.equal((await verify(root)).exit, 0)
  assert.deepEqual((await verify(root, '--expect', `${slug}:3:${'a'.repeat(64)}`)).found, [
    'shortened line undefined',
  ])
})

test('a records file from which everything was removed, even the closing, is found by its head', async () => {
  const root = scratchDir()
  const { records } = build(root, 3)
  writeFileSync(records, '[\n]\n')
  assert.deepEqual((await verify(root)).found, ['shortened 3'])
})

test('records of more than one directory are distinguished', async () => {
  const root = scratchDir()
  build(root, 3)
  const other = association(root, 'heron-ridge')
  makeDirectory(other.directory)
  const { text, head } = lines([{ ...numbered(1), association_slug: 'heron-ridge' }])
  writeFileSync(other.records, text, { mode: 0o640 })
  writeFileSync(other.head, head, { mode: 0o640 })
  const { exit, told } = await verify(root)
  assert.deepEqual([exit, told[0]?.associations, told[0]?.records], [0, 2, 4])
})
