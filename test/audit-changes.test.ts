/** `changes` shows the records that came between two dates, by the receiver's clock. Also: what `g1` and `show` say of unusual records. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { build, envelope, lines, slug, type VerifyMessage, writeAssociation } from './audit-build.ts'
import { fileOf, linesOf, rechained } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'
import { placekey, wholeDirectory } from './variants.ts'

/** Six records, received on the 1st to the 6th of July at noon. */
function days(root: string): void {
  const { records } = wholeDirectory(root)
  const dated = linesOf(records).map((line, at) =>
    line.replace(
      '"received_at":"2026-07-02T06:30:01.000Z"',
      `"received_at":"2026-07-0${at + 1}T12:00:00.000Z"`,
    ),
  )
  writeFileSync(records, fileOf(rechained(dated)))
}

async function between(
  root: string,
  from: string,
  to: string,
): Promise<{ exit: number; told: VerifyMessage[] }> {
  const { exit, out, err } = await audit(
    'changes',
    slug,
    '--from',
    from,
    '--to',
    to,
    '--data',
    root,
    '--json',
  )
  assert.equal(err, '')
  return {
    exit,
    told: out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as VerifyMessage),
  }
}

test('both days of a range count in full, and a time counts to the millisecond', async () => {
  const root = scratchDir()
  days(root)
  const cases: [string, string, number[], number][] = [
    ['2026-07-02', '2026-07-04', [2, 3, 4], 1],
    ['2026-07-02T12:00:00Z', '2026-07-03T12:00:00Z', [2], 0],
    ['2026-07-02T12:00:00.001Z', '2026-07-03T12:00:00.001Z', [3], 0],
    ['2026-08-01', '2026-08-31', [], 0],
  ]
  for (const [from, to, expected, latest] of cases) {
    const { exit, told } = await between(root, from, to)
    assert.equal(exit, 0)
    assert.deepEqual(
      told.filter(({ type }) => type === 'record').map(({ sequence }) => sequence),
      expected,
    )
    const files = told.filter(({ type }) => type === 'latest')
    assert.equal(files.length, 2 * latest)
    const summary = told.at(-1) as VerifyMessage & { before: number; between: number; after: number }
    assert.equal(summary.before + summary.between + summary.after, 6)
    assert.equal(summary.between, expected.length)
  }
})

test('records that came are shown in a readable form, with the state before and after', async () => {
  const root = scratchDir()
  days(root)
  const { out } = await audit('changes', slug, '--from', '2026-07-02', '--to', '2026-07-03', '--data', root)
  assert.match(out, / 2 {2}2026-07-02 12:00 {2}Ğ1 /)
  assert.match(out, new RegExp(`vs01/${slug}/${placekey}: its latest state was received 2026-07-02`))
  assert.match(out, /2 records between the two, 1 of them with a payment; 1 before, 3 after/)
})

test('invalid dates, dates in the wrong order, and names that do not exist are refused', async () => {
  const root = scratchDir()
  days(root)
  for (const [from, to] of [
    ['2026-02-31', '2026-07-04'],
    ['yesterday', '2026-07-04'],
    ['2026-07-04', ''],
    ['2026-07-04', '2026-07-01'],
    ['07/02/2026', '2026-07-04'],
  ] as const)
    assert.equal((await audit('changes', slug, '--from', from, '--to', to, '--data', root)).exit, 2, from)
  const nowhere = ['changes', 'nowhere', '--from', '2026-07-01', '--to', '2026-07-04', '--data', root]
  assert.equal((await audit(...nowhere)).exit, 2)
})

test('a record that could not be read is reported, because it may have come between the two dates', async () => {
  const root = scratchDir()
  const { records } = wholeDirectory(root)
  writeFileSync(records, fileOf(linesOf(records).with(2, 'pardon?')))
  const { exit, err } = await audit(
    'changes',
    slug,
    '--from',
    '2026-07-01',
    '--to',
    '2026-07-04',
    '--data',
    root,
  )
  assert.equal(exit, 1)
  assert.match(err, /1 line could not be read as a record/)
})

test('g1 shows the text that was sent in place of a hash, and always names the record', async () => {
  const root = scratchDir()
  mkdirSync(join(root, 'scn01'))
  writeAssociation(root, slug, lines([{ ...envelope, g1_tx_hash: 'paid\u001b[2J\u0085 on \u202eFriday' }]))
  const { exit, out } = await audit('g1', '--data', root)
  assert.equal(exit, 1)
  assert.match(out, /record 1/)
  assert.match(out, /"paid/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
})

test('a record of 131,034 members is shown, and as many receipts are compared', async () => {
  const root = scratchDir()
  const elsewhere = scratchDir()
  const { records } = build(root, 1)
  const members = Object.fromEntries(Array.from({ length: 131_034 }, (_, at) => [`m${at}`, 1]))
  const [line] = linesOf(records) as [string]
  writeFileSync(
    records,
    fileOf([line.replace('"receipt":', `${JSON.stringify(members).slice(1, -1)},"receipt":`)]),
  )
  for (const args of [
    ['show', slug],
    ['list', slug],
    ['export', '--csv', slug],
    ['g1', slug],
  ]) {
    const { exit, out } = await audit(...args, '--data', root)
    assert.equal(exit, 0, args.join(' '))
    const last: Record<string, string> = { show: 'm131033', export: 'cut here' }
    assert.ok(out.includes(last[args[0] as string] ?? '22c@5sb-8hm-54v'))
  }
  const receipts = join(elsewhere, 'receipts.txt')
  const kept = Array.from({ length: 131_034 }, (_, at) => `scn01/${slug}:${at + 1}:${'a'.repeat(64)}\n`)
  writeFileSync(receipts, kept.join(''))
  const { exit, out } = await audit('verify', '--data', root, '--receipts', receipts)
  assert.equal(exit, 1)
  assert.match(out, /… and 131,?013 more of the kind "shortened"|… and 131013 more/)
})
