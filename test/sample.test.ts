/** `npm run sample`: the directory that it makes, that a seed gives the same bytes, and that AUDITORS.md shows its true output. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { promisify } from 'node:util'
import { storyOf } from '../scripts/sample/story.ts'
import { chainIn, recordsPath, sha256 } from './disk.ts'
import { scratchDir } from './receiver.ts'
import { audit } from './said.ts'

const run = promisify(execFile)
const make = (...args: readonly string[]) =>
  run(process.execPath, ['--import', 'tsx', 'scripts/sample.ts', ...args])
const [first, second] = [join(scratchDir(), 'sample'), join(scratchDir(), 'sample')]
const slugs = ['elm-court-cooperative', 'heron-ridge-condominium', 'plum-grove-townhomes']

before(async () => {
  await Promise.all([make(first), make(second)])
})

function bytesBelow(root: string): Map<string, string> {
  const files = readdirSync(root, { recursive: true }).map(String).sort()
  return new Map(
    files
      .filter((name) => statSync(join(root, name)).isFile())
      .map((name) => [name, sha256(readFileSync(join(root, name)))]),
  )
}

test('the same seed gives the same bytes, and another seed another story', () => {
  const made = bytesBelow(first)
  assert.ok(made.size >= 3 * 2 + 80 + 5, [...made.keys()].join(' '))
  assert.deepEqual(made, bytesBelow(second))
  assert.deepEqual(storyOf(2), storyOf(2))
  assert.notDeepEqual(storyOf(2), storyOf(1))
})

test('three associations, forty addresses, two years of Scenarios, some of them with a payment', async () => {
  const records = slugs.flatMap(
    (slug) => chainIn(readFileSync(recordsPath(join(first, 'data'), slug))).records,
  )
  assert.deepEqual(readdirSync(join(first, 'data/scn01')), slugs)
  const addresses = slugs.flatMap((slug) => readdirSync(join(first, 'data/vs01', slug)))
  assert.equal(new Set(addresses).size, 40)
  const paid = records.filter(({ g1_tx_hash }) => g1_tx_hash !== null).length
  assert.ok(paid > 30 && paid < records.length / 2, `${paid} of ${records.length}`)
  const times = records.map(({ receipt }) => receipt.received_at).sort()
  assert.ok(
    (times[0] as string) < '2024-10' && (times.at(-1) as string) > '2026-06',
    'by the clock of the receipts',
  )
  const narratives = new Set(records.map(({ narrative }) => narrative))
  assert.ok(narratives.size > records.length - 5)
})

test('every receipt and every head beside the sample belongs to a record in it', async () => {
  const beside = ['--receipts', join(first, 'receipts.jsonl')]
  const dates = readdirSync(first).filter((name) => name.startsWith('heads-'))
  assert.equal(dates.length, 4)
  for (const name of dates) beside.push('--heads', join(first, name))
  const { exit, out } = await audit('verify', '--data', join(first, 'data'), ...beside)
  assert.equal(exit, 0, out)
  assert.match(out, /WHOLE: /)
})

test('the examples of AUDITORS.md are what its commands print', async () => {
  const page = readFileSync('deploy/AUDITORS.md', 'utf8')
  const examples = [...page.matchAll(/<!-- example: \w+ -->\n```\n\$ (.*)\n([\s\S]*?)```/g)]
  assert.equal(examples.length, 3)
  for (const [, command = '', shown] of examples) {
    const [program, ...args] = command.replaceAll('/tmp/sample', first).split(' ')
    const printed =
      program === 'cat' ? readFileSync(args[0] as string, 'utf8') : (await audit(...args.slice(1))).out
    const here = printed
      .replaceAll(first, '/tmp/sample')
      .replace(/^checked .*$/m, (line) => line.replace(/20\S+Z/, '2026-11-29T12:00:00.000Z'))
      .replace(/^time .*$/m, 'time             0.2 s')
    assert.equal(shown, here, command)
  }
})

test('a directory that is not empty is left alone', async () => {
  const taken = scratchDir()
  mkdirSync(join(taken, 'data'))
  writeFileSync(join(taken, 'note'), 'mine')
  for (const args of [[taken], [], [first, second]]) {
    const ended = await make(...args).then(
      () => 0,
      (error: { code: number }) => error.code,
    )
    assert.equal(ended, 2)
  }
  assert.deepEqual(readdirSync(taken).sort(), ['data', 'note'])
})
