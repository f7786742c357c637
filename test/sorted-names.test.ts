/** Names sorted with little memory: the order, what is left behind, and a backup of more files than are held at once. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { sortedNames } from '../src/backup/sorted-names.ts'
import { dataWith, fileAt, newestIn, placekey, slug, workplace } from './backup-tools.ts'
import { random } from './faults/random.ts'
import { scratchDir } from './receiver.ts'

/** More than are held in memory at once, so that they come from several runs and from memory. */
const many = 10_000

test('any number of names come in the order of an array that is sorted', () => {
  const scratch = scratchDir()
  const dice = random(7)
  const marks = ['\n', 'é', '\u{1F600}', '\u{FFFD}', ' ', '-', '@', '.json']
  for (const count of [0, 1, 4_096, 4_097, many]) {
    const names = Array.from(
      { length: count },
      (_, n) => `${dice.below(2 ** 30).toString(36)}${marks[n % marks.length]}${n}`,
    )
    assert.deepEqual([...sortedNames(names, scratch)], names.toSorted(), `${count} names`)
    assert.deepEqual(readdirSync(scratch), [])
  }
  rmSync(scratch, { recursive: true })
})

test('300,000 names are sorted in a heap that would not hold them', () => {
  const scratch = scratchDir()
  const script = `
    import { sortedNames } from './src/backup/sorted-names.ts'
    function* names() { for (let n = 300_000; n > 0; n--) yield 'SASE' + n + '-22c-at-5sb-8hm-54v.json' }
    let count = 0
    for (const _ of sortedNames(names(), process.argv[1])) count++
    if (count !== 300_000) throw new Error(String(count))`
  const options = ['--max-old-space-size=16', '--import', 'tsx', '--input-type=module', '-e', script]
  const { status, stderr } = spawnSync(process.execPath, [...options, scratch])
  assert.equal(status, 0, String(stderr))
  rmSync(scratch, { recursive: true })
})

const files = 4_500

test('a backup of more files than are held at once has every file, and is swept of every other', async () => {
  const { work, at, save, check } = workplace()
  const data = await dataWith(0, 1)
  const text = readFileSync(fileAt(data, 1), 'utf8')
  for (let n = 2; n <= files; n++) writeFileSync(fileAt(data, n), text.replace(placekey(1), placekey(n)))
  const to = at('backups')
  assert.equal((await save(data, to)).exit, 0)
  const copies = (): string[] => readdirSync(join(newestIn(to), 'vs01', slug))
  assert.equal(copies().length, files + 1, 'each file, and the list')

  rmSync(fileAt(data, 17))
  writeFileSync(fileAt(data, 4_400), text.replace(placekey(1), placekey(4_400)).replace('2026', '2025'))
  writeFileSync(join(newestIn(to), '.writing'), '')
  writeFileSync(join(newestIn(to), 'vs01', slug, 'left-by-a-killed-run'), '')
  const { exit, err } = await save(data, to, '--forget-missing')
  assert.equal(exit, 0, err)
  assert.equal(copies().length, files)
  assert.deepEqual(
    copies().filter((name) => name.startsWith('left') || name.startsWith(placekey(17))),
    [],
  )
  assert.equal((await check(to)).exit, 0)
  rmSync(work, { recursive: true })
  rmSync(data, { recursive: true })
})
