/** Which copies a run reads again although they seem unchanged, and when a copy counts as unchanged. */
import assert from 'node:assert/strict'
import { lstatSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { Scrub } from '../src/backup/scrub.ts'
import { settledStamp, stampOf } from '../src/backup/stamp.ts'
import { scratchDir } from './receiver.ts'

const MiB = 1024 * 1024

describe('scrubbing', () => {
  const names = Array.from(
    { length: 275 },
    (_, n) => `scn01/a/records.json.001.${String(n + 1).padStart(6, '0')}`,
  )
  const made_at = '2026-11-26T12:00:00.000Z'
  const weight = names.length * 16 * MiB

  function run(scrubbed_to: string, after: number): { readonly read: string[]; readonly next: string } {
    const scrub = new Scrub({ scrubbed_to, made_at, weight }, new Date(Date.parse(made_at) + after))
    return { read: names.filter((name) => scrub.due(name, 16 * MiB)), next: scrub.next }
  }

  test('reads 64 MiB in a run, goes on where the last one ended, and begins again at the end', () => {
    const seen = new Set<string>()
    let cursor = ''
    let runs = 0
    do {
      const { read, next } = run(cursor, 60_000)
      assert.equal(read.length, cursor === names[271] ? 3 : 4)
      for (const name of read) seen.add(name)
      cursor = next
      runs++
    } while (cursor !== '')
    assert.equal(seen.size, names.length)
    assert.equal(runs, 69)
  })

  test('reads all of it within 30 days when runs are rare', () => {
    assert.equal(run('', 24 * 3_600_000).read.length, 10)
    assert.equal(run('', 30 * 24 * 3_600_000).read.length, 275)
    assert.equal(run('', -3_600_000).read.length, 4, 'a clock that went back does not end it')
  })

  test('reads everything without a signature, or when it is asked to', () => {
    const scrub = new Scrub(undefined, new Date())
    assert.ok(names.every((name) => scrub.due(name, 16 * MiB)))
    assert.equal(scrub.next, '')
  })

  test('a stamp changes with every write, also when the time of the last change is set back', () => {
    const path = join(scratchDir(), 'file')
    writeFileSync(path, 'one')
    const before = lstatSync(path, { bigint: true })
    writeFileSync(path, 'two')
    utimesSync(path, new Date(), Number(before.mtimeNs / 1_000_000n) / 1_000)
    assert.notEqual(stampOf(lstatSync(path, { bigint: true })), stampOf(before))
    renameSync(path, `${path}.moved`)
    assert.notEqual(stampOf(lstatSync(`${path}.moved`, { bigint: true })), stampOf(before))
  })

  test('a file that changed a moment ago has no stamp yet', () => {
    const path = join(scratchDir(), 'file')
    writeFileSync(path, 'one')
    const stat = lstatSync(path, { bigint: true })
    const changed = Number(stat.ctimeNs / 1_000_000n)
    assert.equal(settledStamp(stat, changed + 1_000), '')
    assert.equal(settledStamp(stat, changed + 3_000), stampOf(stat))
  })
})
