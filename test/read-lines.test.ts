/** Reading lines between two offsets, in chunks of any size. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { utf8 } from '../src/records/bytes.ts'
import { readLines } from '../src/records/lines.ts'
import { sourceOf } from '../src/storage/files/byte-source.ts'
import { scratchDir } from './receiver.ts'

const text = `[\n${Array.from({ length: 60 }, (_, n) => 'x'.repeat((n * 7) % 23)).join('\n')}\nend`

/** The lines between two offsets, as `offset:line`; at most so many lines. */
async function linesOf(from: number, until: number, chunk: number, most = Number.POSITIVE_INFINITY) {
  const path = join(scratchDir(), 'lines')
  writeFileSync(path, text)
  const file = await open(path)
  const lines: string[] = []
  await readLines(sourceOf(file), from, until, (at, line) => lines.push(`${at}:${utf8(line)}`) < most, chunk)
  await file.close()
  return lines
}

function expected(from: number, until: number): string[] {
  let at = from
  const lines = text.slice(from, until).split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map((line) => {
    const found = `${at}:${line}`
    at += line.length + 1
    return found
  })
}

test('lines are the same whatever the size of the chunks, from any place on, also when the last line has no end', async () => {
  for (const chunk of [1, 2, 3, 7, 22, 23, 24, 64, 1000]) {
    for (const [from, until] of [
      [0, text.length],
      [1, text.length - 3],
      [30, 31],
      [5, 200],
      [0, text.length + 500],
    ] as const) {
      assert.deepEqual(await linesOf(from, until, chunk), expected(from, until), `${chunk} ${from} ${until}`)
    }
  }
})

test('reading ends when it is told to, also with the next chunk on its way', async () => {
  for (const chunk of [4, 16, 1000])
    assert.deepEqual(await linesOf(0, text.length, chunk, 5), expected(0, text.length).slice(0, 5))
})

test('there are no lines in an empty range, in a range that ends before it begins, and after the end', async () => {
  assert.deepEqual(await linesOf(7, 7, 16), [])
  assert.deepEqual(await linesOf(7, -3, 16), [])
  assert.deepEqual(await linesOf(text.length, text.length + 9, 16), [])
})
