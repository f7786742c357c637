import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fsyncDirectory } from '../src/storage/durable-file.ts'

test('an fsync of a directory that is under way serves nobody who comes later, and the next one serves them all', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'civic-'))
  const underWay = fsyncDirectory(directory)
  const [next, shared] = [fsyncDirectory(directory), fsyncDirectory(directory)]
  const ended: string[] = []
  await Promise.all([underWay.then(() => ended.push('under way')), next.then(() => ended.push('next'))])

  assert.notEqual(next, underWay)
  assert.equal(shared, next)
  assert.deepEqual(ended, ['under way', 'next'])
  const later = fsyncDirectory(directory)
  assert.notEqual(later, next)
  await later
  rmSync(directory, { recursive: true })
})
