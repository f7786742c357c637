/** Parts of the auditors' page that need no browser: the filtered columns, the place of each opened file, and the first answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { member, textMember } from '../src/audit/members.ts'
import { firstAnswer, headLine, verdictWords } from '../src/audit/page/answer.ts'
import type { Report } from '../src/audit/page/check.ts'
import { Columns, everything, type Filter } from '../src/audit/page/columns.ts'
import { openedDirectory } from '../src/audit/page/opened-directory.ts'
import { filesOfInput } from '../src/audit/page/opening.ts'
import { nothingPlaced, placed } from '../src/audit/page/placed.ts'
import { uncheckedStamps } from '../src/audit/page/unchecked-stamps.ts'
import { parted } from '../src/audit/parted.ts'
import { whyUnread } from '../src/audit/verify/directory.ts'

const link = { offset: 2, length: 10, line: 2, sha256: '', previous_sha256: '', id: '' }

/** Five described records and one that is not described yet. */
function columns(): Columns {
  const made = new Columns()
  const records = [
    { participant_id: 'a', standing: 'participant', submitted_at: '2026-07-01T23:59:59Z', g1_tx_hash: 'aa' },
    { participant_id: 'b', standing: 'member', submitted_at: '2026-07-02T00:00:00Z', g1_tx_hash_raw: 7 },
    { participant_id: 'a', standing: 'member', submitted_at: 'no time', pinned_scenario_ids: ['S2', 'S1'] },
    { participant_id: 'b', standing: 7, submitted_at: '2026-07-04T00:00:00Z', pinned_scenario_ids: 'S1' },
    undefined,
  ]
  for (const [at, record] of records.entries()) {
    const day = String(at + 1).padStart(2, '0')
    made.add({ ...link, sequence: at + 1, received_at: `2026-08-${day}T12:00:00.000Z`, offset: at * 100 })
    made.describe(record)
  }
  made.add({ ...link, sequence: 9, received_at: '2026-08-06T12:00:00.000Z', offset: 500 })
  return made
}

test('each filter passes the rows with its value, and days count from their first to their last moment', () => {
  const made = columns()
  const passing = (filter: Partial<Filter>): number[] => made.passing({ ...everything, ...filter })
  assert.deepEqual(passing({}), [0, 1, 2, 3, 4])
  assert.deepEqual(passing({ participant: 'a' }), [0, 2])
  assert.deepEqual(passing({ participant: 'nobody' }), [])
  assert.deepEqual(passing({ standing: 'member' }), [1, 2])
  assert.deepEqual(passing({ payment: 'named' }), [0])
  assert.deepEqual(passing({ payment: 'no hash' }), [1])
  assert.deepEqual(passing({ payment: 'none' }), [2, 3, 4])
  assert.deepEqual(passing({ scenario: 'S1' }), [2])
  assert.deepEqual(passing({ submittedFrom: '2026-07-02' }), [1, 3])
  assert.deepEqual(passing({ submittedTo: '2026-07-01' }), [0])
  assert.deepEqual(passing({ submittedFrom: '2026-07-02', submittedTo: '2026-07-03' }), [1])
  assert.deepEqual(passing({ receivedFrom: '2026-08-02', receivedTo: '2026-08-04' }), [1, 2, 3])
  assert.deepEqual(passing({ participant: 'b', receivedTo: '2026-08-02' }), [1])
})

test('a row is found by its sequence, wherever it stands, and what can be chosen is sorted', () => {
  const made = columns()
  assert.deepEqual([made.length, made.described], [6, 5])
  assert.deepEqual([made.indexOf(2), made.indexOf(9), made.indexOf(6), made.indexOf(0)], [1, 5, -1, -1])
  assert.deepEqual(made.where(3), { offset: 300, length: 10, line: 2, sequence: 4 })
  assert.deepEqual(made.choices, {
    participants: ['a', 'b'],
    standings: ['member', 'participant'],
    scenarios: ['S1', 'S2'],
  })
})

test('more rows than the first buffer holds are kept', () => {
  const made = new Columns()
  for (let sequence = 1; sequence <= 5_000; sequence++)
    made.add({ ...link, sequence, received_at: '2026-08-01T12:00:00.000Z', offset: sequence * 3 })
  for (const sequence of [1, 1_024, 1_025, 5_000])
    assert.equal(made.where(made.indexOf(sequence)).offset, sequence * 3)
})

const opened = (path: string, text = '') => ({ path, file: new Blob([text]), changedMs: 0 })
const pathsIn = (files: readonly { readonly path: string }[]): string[] => files.map(({ path }) => path)

test('the data directory is found inside what was opened, and files outside of it are counted', async () => {
  const inside = ['scn01/heron-ridge/records.json', 'vs01/heron-ridge/a.json']
  const around = ['copy/.civic-orchestrator', ...inside.map((path) => `copy/${path}`)]
  const found = await placed([...around, 'notes.txt', 'stamps/heads.tsr'].map((path) => opened(path)))
  assert.deepEqual(pathsIn(found.files), ['.civic-orchestrator', ...inside])
  assert.deepEqual([found.outside, found.choices], [1, []])
  assert.deepEqual(found.stamps.files, ['stamps/heads.tsr'])
  assert.deepEqual(pathsIn((await placed(inside.map((path) => opened(path)))).files), inside)
  const nested = await placed([opened('.civic-orchestrator'), opened('old/scn01/heron-ridge/records.json')])
  assert.deepEqual(pathsIn(nested.files), ['.civic-orchestrator', 'old/scn01/heron-ridge/records.json'])
})

test('of several data directories a person has to choose one', async () => {
  const both = ['b/scn01/heron-ridge/records.json', 'a/vs01/heron-ridge/a.json'].map((path) => opened(path))
  assert.deepEqual(await placed(both), { ...nothingPlaced, choices: ['a/', 'b/'] })
  const { files, outside } = await placed(both, 'b/')
  assert.deepEqual([pathsIn(files), outside], [['scn01/heron-ridge/records.json'], 1])
})

test('single files are placed by what their records say, with what lies beside them', async () => {
  const of = (addon: string): string => `{"addon": "${addon}", "association_slug": "heron-ridge"}`
  const { files, outside } = await placed([
    opened('f/records.json', `[\n${of('scn01')}`),
    opened('f/.records.head.json'),
    opened('f/records.json.torn-20261120T184502123Z'),
    opened('f/.refused.json'),
    opened('f/.hidden.json', of('vs01')),
    opened('g/.records.head.json'),
    opened('g/SASE1.json', of('vs01')),
    opened('g/other.json', of('scn01')),
    opened('g/unknown.json', of('xyz')),
    opened('g/heads.tsr'),
    opened('h/records.json', `[\n${of('scn01')}`),
  ])
  assert.deepEqual(pathsIn(files), [
    'scn01/heron-ridge/records.json',
    'vs01/heron-ridge/SASE1.json',
    'scn01/heron-ridge/.records.head.json',
    'scn01/heron-ridge/records.json.torn-20261120T184502123Z',
    'scn01/heron-ridge/.refused.json',
  ])
  assert.equal(outside, 5)
  const strange = [opened('a.txt'), opened('b.txt')]
  assert.deepEqual(await placed(strange), { ...nothingPlaced, files: strange })
})

test('the files of an input have the paths in their folder, or else their names', () => {
  const file = Object.assign(new File(['x'], 'a.json', { lastModified: 7 }), { webkitRelativePath: '' })
  const inFolder = Object.assign(new File(['x'], 'b.json'), { webkitRelativePath: 'data/b.json' })
  const [one, other] = filesOfInput([file, inFolder] as unknown as FileList)
  assert.deepEqual([one?.path, one?.changedMs, other?.path], ['a.json', 7, 'data/b.json'])
  assert.deepEqual(filesOfInput(null), [])
})

const told = (kind: string, what: string, more: object = {}) =>
  ({ level: 'finding', kind, path: 'scn01/heron-ridge/records.json', what, meaning: '', ...more }) as const
const answer = (report: object): string =>
  firstAnswer({
    verdict: 'cannot be told',
    findings: [],
    totals: { records: 3, withoutReceipt: 0 },
    compared_with: [],
    ...report,
  } as unknown as Report)

test('the first answer names the worst finding, and counts the others', () => {
  const findings = [
    told('unreadable', 'is unreadable'),
    { ...told('empty', 'the file is empty'), level: 'note' as const },
    told('moved', 'stands in another place', { record: 4 }),
    told('altered', 'was altered', { record: 2 }),
  ]
  assert.equal(
    answer({ verdict: 'altered', findings }),
    'In scn01/heron-ridge, record 2 was altered. And 2 more findings. This is not what the receiver left.',
  )
  const one = answer({ findings: [findings[0]] })
  assert.match(one, /^In scn01\/heron-ridge, a file is unreadable\. Nothing else was found/)
  assert.match(
    answer({ findings: [told('unreadable', 'the head is gone')] }),
    /ridge, the head is gone\. Nothing/,
  )
})

test('the first answer says what the files were compared with, and what was not', () => {
  assert.match(answer({ verdict: 'whole' }), /^3 records are there as acknowledged/)
  assert.match(answer({ totals: { withoutReceipt: 2 } }), /no receipt and no head from outside was given/)
  const some = answer({ totals: { withoutReceipt: 2 }, compared_with: ['a head'] })
  assert.match(some, /for 2 associations no receipt and no head was given/)
  assert.match(answer({}), /not everything is vouched for from outside/)
  assert.equal(verdictWords.altered, 'Not as it was left')
})

test('a head to be kept is the one after the last record, and there is none before the first', () => {
  const place = { addon: 'scn01', slug: 'heron-ridge' }
  const line = (last: object | undefined) =>
    headLine({ place, last } as unknown as Report['associations'][number])
  assert.equal(line({ sequence: 12, sha256: 'ab' }), 'scn01/heron-ridge:12:ab')
  assert.deepEqual([line({ sequence: 0, sha256: '' }), line(undefined)], [undefined, undefined])
})

test('stamps are named with one command for each folder, in which a shell cannot misread a name', () => {
  const { files, commands } = uncheckedStamps(
    ['b/two.tsr', 'one.tsr', 'b/one.tsr', 'a b/x.tsr', 'n.txt'],
    'data/',
  )
  assert.deepEqual(files, ['a b/x.tsr', 'b/one.tsr', 'b/two.tsr', 'one.tsr'])
  const command = (stamps: string): string =>
    `node audit.cjs verify --data data --stamps ${stamps} --authority ROOT.pem`
  assert.deepEqual(commands, ['STAMPS', 'b', '.'].map(command))
  assert.match(uncheckedStamps(['x.tsr'], undefined).commands[0] as string, /--data DATA --stamps \. /)
})

test('opened files are a directory: sorted, with sizes, and no file is read that is longer than asked for', async () => {
  const directory = openedDirectory([
    { ...opened('scn01/b/records.json', '[\n'), changedMs: 5 },
    opened('scn01/a/records.json'),
    opened('.civic-orchestrator', '{}'),
  ])
  const names = async (path: string) =>
    (await directory.entries(path)).map(({ name, kind }) => `${kind} ${name}`)
  assert.deepEqual(await names(''), ['file .civic-orchestrator', 'directory scn01'])
  assert.deepEqual(await names('scn01'), ['directory a', 'directory b'])
  await assert.rejects(directory.entries('vs01'), { code: 'ENOENT' })
  const state = { kind: 'file', size: 2, changedMs: 5, mode: undefined, links: 1 }
  assert.deepEqual(await directory.state('scn01/b/records.json'), state)
  assert.deepEqual(await directory.state('scn01/b'), { ...state, kind: 'directory', size: 0, changedMs: 0 })
  assert.equal(await directory.state('scn01/c'), undefined)
  assert.equal((await directory.read('.civic-orchestrator', 2)).length, 2)
  await assert.rejects(directory.read('.civic-orchestrator', 1), { code: 'EFBIG' })
})

test('why a file was not read is said in words', () => {
  const why = (code: string, more: object = {}): string =>
    whyUnread(Object.assign(new Error('as the system says'), { code, ...more }))
  assert.equal(why('EACCES'), 'cannot be opened by this user')
  assert.equal(why('ENOENT'), 'went away while it was read')
  assert.equal(why('ECHANGED'), 'was changed while it was read')
  assert.equal(why('ENOTREGULAR', { kind: 'a FIFO' }), 'is a FIFO, not a regular file; it was not read')
  assert.equal(why('EIO'), 'as the system says')
})

test('a record that could not be read has no members, and no record has those of every object', () => {
  assert.equal(textMember(undefined, 'narrative'), undefined)
  assert.equal(textMember({}, 'narrative'), undefined)
  assert.equal(textMember({ narrative: 'a' }, 'narrative'), 'a')
  assert.equal(member(undefined, 'narrative'), undefined)
  assert.equal(member({}, 'constructor'), undefined)
})

test('the members of a record are parted: what a contract names, what none names, what the receiver wrote', () => {
  const record = { narrative: 'a', receipt: { id: 'b' }, g1_tx_hash_raw: 7, verdict: 'Whole' }
  assert.deepEqual(parted(record, 'scn01'), {
    sent: { narrative: 'a' },
    unnamed: { verdict: 'Whole' },
    written: { receipt: { id: 'b' }, g1_tx_hash_raw: 7 },
  })
})
