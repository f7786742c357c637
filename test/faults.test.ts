/** Tests of the fault tests themselves. `npm run test:faults` runs the fault tests and prints their table. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { crashStates, stateAfter } from './faults/crash-model.ts'
import { mutants } from './faults/mutants/list.ts'
import { random } from './faults/random.ts'
import type { Call } from './faults/system-calls.ts'

const limits = { cuts: 100, sectors: 100, names: 100 }

function faults(...args: string[]) {
  return spawnSync(process.execPath, ['--import', 'tsx', 'scripts/faults.ts', ...args], { encoding: 'utf8' })
}

test('every mutant stands in the source exactly once', () => {
  for (const { name, file, find, replace } of mutants) {
    assert.equal(readFileSync(file, 'utf8').split(find).length, 2, name)
    assert.notEqual(find, replace, name)
  }
})

test('a slice of a part prints its table, its seed and nothing on standard error', () => {
  const { status, stdout, stderr } = faults('--only', 'damage', '--share', '0.0005', '--seed', '7')
  assert.equal(stderr, '')
  assert.match(stdout, /^part +fault +rule +cases +lost +duplicated +unreadable +wrong\n/)
  assert.match(stdout, /one bit flipped, head file +append-only +\d+ +0 +0 +0 +0\n/)
  assert.match(stdout, /seed 7, share 0\.0005\n$/)
  assert.equal(status, 0)
})

test('an unknown part ends the run with 2 and a list of the known parts', () => {
  const { status, stderr } = faults('--only', 'lightning')
  assert.equal(status, 2)
  assert.match(stderr, /there is no part "lightning"/)
  assert.match(stderr, /crash-states, /)
})

/** Each state that a crash of these calls can leave in an empty directory, as `name=content`, sorted by name. */
function statesOf(calls: readonly Call[]): Set<string> {
  const before = mkdtempSync(join(tmpdir(), 'civic-'))
  try {
    const states = [...crashStates('/data', before, calls, limits, 1, random(1))]
    return new Set(states.map(({ files }) => [...files].map(([name, bytes]) => `${name}=${bytes}`).join(' ')))
  } finally {
    rmSync(before, { recursive: true })
  }
}

const created = { start: 1, end: 1, kind: 'create', path: '/data/a', truncates: false } as const
const written = {
  start: 2,
  end: 2,
  kind: 'write',
  path: '/data/a',
  offset: 0,
  bytes: Buffer.from('xyz'),
} as const
const dataSynced = { start: 3, end: 4, kind: 'sync', path: '/data/a' } as const
const nameSynced = { start: 5, end: 6, kind: 'sync', path: '/data' } as const
const said = { start: 7, end: 7, kind: 'said', line: '{"post":0,"outcome":{"ok":true}}' } as const

test('a crash may cut a write that was not synced at any byte, and lose the name of the file', () => {
  const states = statesOf([created, written])
  for (const state of ['', 'a=', 'a=x', 'a=xy', 'a=xyz']) assert.ok(states.has(state), state)
})

test('after a crash, bytes and names that were synced before an answer are there', () => {
  const before = mkdtempSync(join(tmpdir(), 'civic-'))
  const calls = [created, written, dataSynced, nameSynced, said]
  const states = [...crashStates('/data', before, calls, limits, 1, random(1), said.start)]
  rmSync(before, { recursive: true })
  assert.equal(states.length, 1)
  assert.equal(states[0]?.files.get('a')?.toString(), 'xyz')
  assert.equal(states[0]?.answered.length, 1)
})

test('a sync that began before a write had ended promises nothing about it', () => {
  const late = { ...written, start: 2, end: 5 }
  const states = statesOf([created, late, dataSynced, { ...nameSynced, end: 8 }])
  assert.ok(states.has('a='))
})

test('after a kill with the power on, the disk has the result of every call', () => {
  const before = mkdtempSync(join(tmpdir(), 'civic-'))
  const { files } = stateAfter('/data', before, [created, written])
  rmSync(before, { recursive: true })
  assert.equal(files.get('a')?.toString(), 'xyz')
})
