/** `verify` finds and names every kind of change that somebody made to a records file. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JsonObject } from '../contracts/contract.ts'
import { canonicalBytes } from '../src/records/canonical.ts'
import { build, lines, numbered, slug, verify } from './audit-build.ts'
import { fileOf, linesOf, rechained, sha256 } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { acceptedVectors, storeIn } from './records.ts'
import { audit } from './said.ts'

type Change = (records: string[], file: string) => string[]

/** Each change is made to a file of 200 records. Both ways of verifying must find exactly what `expected` lists. */
const changes: Record<string, { change: Change; expected: string[]; chain?: string[] }> = {
  'a bit flipped in a narrative': {
    change: (records) => records.with(99, records[99]!.replace('Submission 100', 'Submission 101')),
    expected: ['altered 100'],
  },
  'a bit flipped in the first record': {
    change: (records) => records.with(0, records[0]!.replace('portal', 'Portal')),
    expected: ['altered 1'],
  },
  'a bit flipped in the last record': {
    change: (records) => records.with(199, records[199]!.replace('portal', 'Portal')),
    expected: ['altered 200'],
  },
  'a bit flipped in two neighbours': {
    change: (records) =>
      records
        .with(49, records[49]!.replace('portal', 'Portal'))
        .with(50, records[50]!.replace('portal', 'Portal')),
    expected: ['altered 50', 'altered 51'],
  },
  'the time of receipt changed': {
    change: (records) => records.with(99, records[99]!.replace('06:30:01.000Z', '06:30:02.000Z')),
    expected: ['altered 100'],
  },
  'the id in a receipt changed': {
    change: (records) =>
      records.with(99, records[99]!.replace(/"id":"./, '"id":"_').replace('"id":"_', '"id":"0')),
    expected: ['altered 100'],
  },
  'the previous hash in a receipt changed': {
    change: (records) =>
      records.with(
        99,
        records[99]!.replace(/"previous_sha256":"\w{64}/, `"previous_sha256":"${'1'.repeat(64)}`),
      ),
    expected: ['altered 100'],
  },
  'the sequence in a receipt changed': {
    change: (records) => records.with(99, records[99]!.replace('"sequence":100', '"sequence":900')),
    expected: ['altered 100'],
  },
  'a record removed': { change: (records) => records.toSpliced(99, 1), expected: ['missing 100'] },
  'ten records removed': { change: (records) => records.toSpliced(99, 10), expected: ['missing 100'] },
  'the first record removed': { change: (records) => records.slice(1), expected: ['missing 1'] },
  'two records removed in two places': {
    change: (records) => records.toSpliced(149, 1).toSpliced(49, 1),
    expected: ['missing 50', 'missing 150'],
  },
  'two neighbours swapped': {
    change: (records) => records.with(99, records[100]!).with(100, records[99]!),
    expected: ['moved 101'],
  },
  'the last two swapped': {
    change: (records) => records.with(198, records[199]!).with(199, records[198]!),
    expected: ['moved 200', 'shortened 200'],
  },
  'two distant records swapped': {
    change: (records) => records.with(49, records[149]!).with(149, records[49]!),
    expected: ['moved 150', 'moved 50'],
  },
  'a block of records moved': {
    change: (records) => [
      ...records.slice(0, 50),
      ...records.slice(100, 150),
      ...records.slice(50, 100),
      ...records.slice(150),
    ],
    expected: ['moved 51'],
  },
  'a copy of a record inserted': {
    change: (records) => records.toSpliced(149, 0, records[9]!),
    expected: ['inserted 10'],
  },
  'a record inserted that claims a place of its own': {
    change: (records) => {
      const forged = lines([numbered(1_000)]).text.split('\n')[1]!
      const receipt = `"sequence":100,"received_at":"2026-07-02T06:30:01.000Z","previous_sha256":"${sha256(records[98]!)}"`
      return records.toSpliced(99, 0, forged.replace(/"sequence":1,.*"previous_sha256":"0+"/, receipt))
    },
    expected: ['inserted 100'],
  },
  'a line inserted that is no record': {
    change: (records) => records.toSpliced(99, 0, '{"note":"hello"}'),
    expected: ['unreadable line 101'],
  },
  'a record removed, and the one after the next made unreadable': {
    change: (records) => records.with(101, '{"note":"hello"}').toSpliced(99, 1),
    expected: ['missing 100', 'unreadable line 102'],
  },
  'a receipt cut off': {
    change: (records) => records.with(99, records[99]!.replace(/,"receipt".*/, '}')),
    expected: ['unreadable line 101'],
  },
  'records cut off the end, the closing restored': {
    change: (records) => records.slice(0, 190),
    expected: ['shortened 200'],
  },
  'the last record cut off, the closing restored': {
    change: (records) => records.slice(0, 199),
    expected: ['shortened 200'],
  },
  'a record replaced and the chain made anew behind it': {
    change: (records) =>
      rechained(records.with(99, records[99]!.replace('Submission 100', 'Submission 777'))),
    expected: ['altered 100', 'rewritten 200'],
    chain: ['rewritten 200'],
  },
}

for (const [name, { change, expected, chain = expected }] of Object.entries(changes)) {
  test(`verify names it: ${name}`, async () => {
    const root = scratchDir()
    const { records } = build(root, 200)
    writeFileSync(records, fileOf(change(linesOf(records), records)))
    assert.deepEqual((await verify(root)).found, expected)
    assert.deepEqual((await verify(root, '--chain')).found, chain)
    assert.equal((await verify(root)).exit, 1)
  })
}

/** Changes after which the file is no list of lines any more. */
const edits: Record<string, { edit: (file: string) => void; expected: RegExp }> = {
  'cut in the middle of a record': { edit: (file) => truncateSync(file, 100_000), expected: /^open end/ },
  'cut in the middle of the closing': {
    edit: (file) => truncateSync(file, readFileSync(file).length - 1),
    expected: /^rewritten as a whole/,
  },
  emptied: { edit: (file) => truncateSync(file, 0), expected: /^shortened/ },
  removed: { edit: (file) => rmSync(file), expected: /^shortened/ },
  'without its opening bracket': {
    edit: (file) => rewrite(file, (text) => text.slice(2)),
    expected: /^opening/,
  },
  'with a comma missing': {
    edit: (file) => rewrite(file, (text) => text.replace('"}},\n', '"}}\n')),
    expected: /^separator/,
  },
  'with a comma before the closing': {
    edit: (file) => rewrite(file, (text) => text.replace('"}}\n]', '"}},\n]')),
    expected: /^separator/,
  },
  'with something behind the closing': {
    edit: (file) => rewrite(file, (text) => `${text}{"more":1}\n`),
    expected: /^open end|unreadable/,
  },
  'with the line ends of another system': {
    edit: (file) => rewrite(file, (text) => text.replaceAll('\n', '\r\n')),
    expected: /^rewritten as a whole/,
  },
  'printed anew by a JSON tool': {
    edit: (file) => rewrite(file, (text) => `${JSON.stringify(JSON.parse(text), null, 2)}\n`),
    expected: /^rewritten as a whole/,
  },
  'overwritten with zeros in the middle': {
    edit: (file) =>
      rewrite(file, (text) => `${text.slice(0, 90_000)}${'\0'.repeat(4096)}${text.slice(94_096)}`),
    expected: /unreadable|altered/,
  },
}

function rewrite(file: string, change: (text: string) => string): void {
  writeFileSync(file, change(readFileSync(file, 'utf8')))
}

for (const [name, { edit, expected }] of Object.entries(edits)) {
  test(`verify names a file ${name}`, async () => {
    const root = scratchDir()
    const { records } = build(root, 200)
    edit(records)
    for (const more of [[], ['--chain']]) {
      const { exit, found } = await verify(root, ...more)
      assert.equal(exit, 1)
      assert.ok(
        found.some((each) => expected.test(each)),
        found.join(),
      )
    }
  })
}

test('verify finds nothing in a whole file, and says what it did not compare with', async () => {
  const root = scratchDir()
  build(root, 200)
  const { exit, told } = await verify(root)
  assert.equal(exit, 0)
  assert.deepEqual(
    told.filter(({ type }) => type !== 'summary'),
    [],
  )
  assert.match((await audit('verify', '--data', root)).out, /a rewritten or shortened file would not be seen/)
})

test('a file of more than one stretch is judged once throughout, and a complaint has its own line', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 1)
  const long = Array.from({ length: 18 }, (_, n) => ({
    ...numbered(n),
    narrative: `${n} ${'x'.repeat(1_000_000)}`,
  }))
  const made = lines(long)
  writeFileSync(records, made.text)
  writeFileSync(head, made.head)
  assert.deepEqual((await verify(root)).found, [])
  const last = linesOf(records)[17]!.replace('"standing":"participant"', '"standing":"participanT"')
  writeFileSync(records, fileOf(linesOf(records).with(17, last)))
  assert.deepEqual((await verify(root)).found, ['altered 18'])
})

test('every single changed byte of a file with a head is found', async () => {
  const root = scratchDir()
  const { records } = build(root, 4)
  const whole = readFileSync(records)
  for (let at = 0; at < whole.length; at += 7) {
    for (const flip of [0x01, 0x80]) {
      const changed = Buffer.from(whole)
      changed[at] = changed[at]! ^ flip
      writeFileSync(records, changed)
      const { exit } = await verify(root)
      assert.equal(exit, 1, `byte ${at} with ${flip}`)
    }
  }
})

test('a file shortened together with its head file is found by a receipt that was kept, and by nothing else', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 20)
  const kept = `${slug}:20:${sha256(linesOf(records)[19]!)}`
  const shorter = lines(Array.from({ length: 12 }, (_, index) => numbered(index + 1)))
  writeFileSync(records, shorter.text)
  writeFileSync(head, shorter.head)
  assert.equal((await verify(root)).exit, 0)
  assert.deepEqual((await verify(root, '--expect', kept)).found, ['shortened 20'])
})

test('a file rewritten together with its head file is found by heads of before', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 20)
  const heads = join(root, '..', `heads-${process.pid}.txt`)
  writeFileSync(heads, `# of Tuesday\n${(await audit('heads', '--data', root)).out}`)
  assert.equal((await verify(root, '--heads', heads)).exit, 0)
  const other = lines(Array.from({ length: 25 }, (_, index) => numbered(index === 3 ? 999 : index + 1)))
  writeFileSync(records, other.text)
  writeFileSync(head, other.head)
  assert.equal((await verify(root)).exit, 0)
  assert.deepEqual((await verify(root, '--heads', heads)).found, ['rewritten 20'])
  rmSync(heads)
})

test('receipts may be the answers of the receiver, one a line; receipts for other addons are ignored', async () => {
  const root = scratchDir()
  const { records } = build(root, 5)
  const file = join(root, '..', `receipts-${process.pid}.txt`)
  const answer = (sequence: number, record_sha256: string): string =>
    JSON.stringify({ status: 'stored', addon: 'scn01', association_slug: slug, sequence, record_sha256 })
  const lineHash = sha256(linesOf(records)[2]!)
  writeFileSync(
    file,
    [
      answer(3, lineHash),
      JSON.stringify({ addon: 'vs01', association_slug: slug }),
      '',
      answer(4, lineHash),
    ].join('\n'),
  )
  assert.deepEqual((await verify(root, '--receipts', file)).found, ['rewritten 4'])
  writeFileSync(file, 'not a receipt')
  assert.equal((await audit('verify', '--data', root, '--receipts', file)).exit, 2)
  rmSync(file)
})

test('an association that receipts name and that is gone is found', async () => {
  const root = scratchDir()
  build(root, 5)
  const { found } = await verify(root, '--expect', `heron-ridge:7:${'a'.repeat(64)}`)
  assert.deepEqual(found, ['shortened 7'])
})

test('a record that breaks the contract, or is under another slug, is found although its chain is whole', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 3)
  const other = lines([numbered(1), { ...numbered(2), association_slug: 'elsewhere' }, numbered(3)])
  writeFileSync(records, other.text)
  writeFileSync(head, other.head)
  const { found, told } = await verify(root)
  assert.deepEqual(found, ['contract 2'])
  assert.match(told[0]!.what!, /association_slug/)
  assert.deepEqual((await verify(root, '--chain')).found, [])
})

test('when there are too many faults to judge them all, verify says so', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 4_000)
  const wrong = linesOf(records).map((line) =>
    line.replace('"standing":"participant"', '"standing":"nobody"'),
  )
  writeFileSync(records, fileOf(rechained(wrong)))
  rmSync(head)
  const { told } = await verify(root)
  const judged = told.filter(({ kind }) => kind === 'altered').length
  assert.ok(judged >= 2_000 && judged < 4_000, String(judged))
  const more = told.filter(({ kind }) => kind === 'more')
  assert.deepEqual(
    more.map(({ line }) => line),
    [judged + 2],
  )
  assert.match(more[0]?.what ?? '', /were not judged/)
})

/** A line of one record and a receipt computed here, as another program might write it. */
function handwritten(members: Record<string, unknown>): string {
  const { node_token_hash, ...sent } = members
  const id = sha256(canonicalBytes(sent as JsonObject))
  const receipt = {
    id,
    sequence: 1,
    received_at: '2026-07-02T06:30:01.000Z',
    previous_sha256: '0'.repeat(64),
  }
  return JSON.stringify({ ...sent, node_token_hash, receipt })
}

test('values that the contract leaves free cause no finding, and values that the receiver would have changed do', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 1)
  rmSync(head)
  const { receipt: _receipt, ...stored } = JSON.parse(linesOf(records)[0]!) as Record<string, unknown>
  const cases: [Record<string, unknown>, RegExp | undefined][] = [
    [stored, undefined],
    [{ ...stored, vs_snapshot: { b: 1, a: { d: 1, c: 1 } } }, undefined],
    [{ ...stored, '7': 'unknown', zebra: null }, undefined],
    [{ narrative: 'first', ...stored }, /order/],
    [{ ...stored, g1_tx_hash: `0x${'AB'.repeat(32)}` }, /g1_tx_hash is not in normal form/],
    [{ ...stored, vs_snapshot: [] }, /vs_snapshot is not in normal form/],
    [{ ...stored, pinned_scenario_ids: ['a', 'a'] }, /pinned_scenario_ids is not in normal form/],
    [{ g1_tx_hash_raw: 'x', ...stored }, /order/],
    [{ ...stored, g1_tx_hash_raw: 7 }, /g1_tx_hash_raw/],
    [{ ...stored, node_token_hash: 'x' }, /node_token_hash/],
    [{ ...stored, standing: 'king' }, /standing/],
  ]
  for (const [members, expected] of cases) {
    writeFileSync(records, fileOf([handwritten(members)]))
    const [finding] = (await verify(root)).told.filter(
      ({ type, kind }) => type === 'finding' && kind !== 'no head',
    )
    if (expected) assert.match(finding?.what ?? 'nothing was found', expected)
    else assert.equal(finding?.what, undefined)
  }
})

test('a g1_tx_hash_raw stands right after a null', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 1)
  const made = lines([{ ...numbered(1), g1_tx_hash: 'no hash' }])
  writeFileSync(records, made.text)
  writeFileSync(head, made.head)
  assert.equal((await verify(root)).exit, 0)
})

test('the same envelope stored twice is found', async () => {
  const root = scratchDir()
  const { records, head } = build(root, 3)
  const twice = lines([numbered(1), numbered(2), numbered(1)])
  writeFileSync(records, twice.text)
  writeFileSync(head, twice.head)
  assert.deepEqual((await verify(root)).found, ['same id 3'])
})

test('a head file that holds no head is a finding, because nothing confirms the end of the records file', async () => {
  const root = scratchDir()
  const { head } = build(root, 3)
  writeFileSync(head, readFileSync(head, 'utf8').replace('"count":3', '"count":9'))
  assert.equal((await verify(root)).exit, 1)
})

test('heads prints no line for a file that is not whole', async () => {
  const root = scratchDir()
  const { records } = build(root, 20)
  assert.match((await audit('heads', '--data', root)).out, new RegExp(`^scn01/${slug}:20:[0-9a-f]{64}\n$`))
  writeFileSync(records, fileOf(linesOf(records).toSpliced(9, 1)))
  const { exit, out } = await audit('heads', '--data', root)
  assert.deepEqual([exit, out], [1, ''])
})

test('verify finds nothing in the stored form of every accepted vector', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  const deadline = performance.now() + 60_000
  for (const record of acceptedVectors()) assert.ok((await store.put(record, deadline)).ok)
  await store.close()
  assert.deepEqual((await verify(root, '--copy')).found, [])
})
