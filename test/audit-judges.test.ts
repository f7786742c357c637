/** The processes that judge contents for `verify`: they have the findings of a single process, and the loss of one is noticed. */
import assert from 'node:assert/strict'
import { statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startJudges } from '../src/audit/verify/judges.ts'
import { judgeStretch } from '../src/audit/verify/stretch.ts'
import { build } from './audit-build.ts'
import { fileOf, linesOf } from './disk.ts'
import { scratchDir } from './receiver.ts'

const program = 'scripts/audit.ts'
/** So many bytes that it is worth starting other processes. */
const many = 64 * 1024 * 1024
const place = { addon: 'scn01', slug: 'plum-grove-21' }
const path = 'scn01/plum-grove-21/records.json'

/** Makes nine stretches of a file of 90 records, more stretches than there are processes. The last one is damaged. */
function stretchesIn(root: string) {
  const { records } = build(root, 90)
  const lines = linesOf(records)
  writeFileSync(
    records,
    fileOf(lines.with(89, lines[89]!.replace('"standing":"participant"', '"standing":7'))),
  )
  let from = 2
  return Array.from({ length: 9 }, (_, at) => {
    const bytes = Buffer.byteLength(
      `${linesOf(records)
        .slice(at * 10, at * 10 + 10)
        .join(',\n')},\n`,
    )
    const stretch = { path, place, from, until: Math.min(from + bytes, statSync(records).size - 3) }
    from += bytes
    return { ...stretch, firstLine: 2 + at * 10 }
  })
}

test('they judge every stretch as this process does, also when there are more stretches than processes', async () => {
  const root = scratchDir()
  const stretches = stretchesIn(root)
  await using judges = startJudges(root, program, many)
  const found = await Promise.all(stretches.map((stretch) => judges.judge(stretch)))
  const expected = await Promise.all(
    stretches.map((stretch) => judgeStretch({ ...stretch, path: join(root, path) })),
  )
  assert.deepEqual(found, expected)
  assert.deepEqual(
    found.flatMap(({ complaints }) => complaints.map(([line]) => line)),
    [91],
  )
})

const skip = availableParallelism() < 2 && 'with one processor there are no such processes'

test('a stretch that cannot be read, and a program that ends, are errors and no answer without a finding', {
  skip,
}, async () => {
  const root = scratchDir()
  const [stretch] = stretchesIn(root)
  await using judges = startJudges(root, program, many)
  await assert.rejects(judges.judge({ ...stretch!, path: 'scn01/nowhere/records.json' }), /ENOENT/)
  assert.deepEqual((await judges.judge(stretch!)).complaints, [])
  await using ending = startJudges(root, 'test/fixtures/nowhere.ts', many)
  await assert.rejects(ending.judge(stretch!), /ended too early/)
  await assert.rejects(ending.judge(stretch!), /ended too early/)
})
