/** The refusal of an association outlives the process. Only a whole file ends it. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { chainOf, recordsPath } from './disk.ts'
import { scn01, scratchDir } from './receiver.ts'
import { put, quiet, stored, storeIn } from './records.ts'
import { audit } from './said.ts'

const damaged = { ok: false, fault: 'damaged' }
const refusalIn = (root: string): string => join(dirname(recordsPath(root)), '.refused.json')

/** A data directory with two records. The first was changed, and the store that found the change is closed. */
async function refused(): Promise<{ root: string; whole: Buffer }> {
  const root = scratchDir()
  const first = storeIn(root)
  for (const narrative of ['one', 'two']) await stored(first, scn01({ narrative }))
  await first.close()
  const whole = readFileSync(recordsPath(root))
  writeFileSync(recordsPath(root), whole.toString().replace('one', 'One'))
  const second = storeIn(root)
  assert.deepEqual(await put(second, scn01({ narrative: 'three' })), damaged)
  await second.close()
  return { root, whole }
}

test('a refusal is kept beside the file with its reason and the known head, and outlives a restart', async () => {
  const { root } = await refused()
  const { reason, head, refused_at } = JSON.parse(readFileSync(refusalIn(root), 'utf8'))
  assert.match(reason, /missing or altered/)
  assert.equal(head.count, 2)
  assert.ok(Date.parse(refused_at) <= Date.now())
  const again = storeIn(root)
  await again.start()
  assert.deepEqual((await again.readiness()).refused, ['scn01/heron-ridge'])
  await again.close()
})

test('a refusal ends, and the log says so, when the file is whole at the start', async () => {
  const { root, whole } = await refused()
  writeFileSync(recordsPath(root), whole)
  const told: string[] = []
  const again = storeIn(root, { ...quiet, info: (_fields, message) => told.push(message) })
  await again.start()
  assert.deepEqual((await again.readiness()).refused, [])
  assert.ok(!existsSync(refusalIn(root)))
  assert.ok(told.some((message) => message.includes('whole again')))
  assert.equal((await stored(again, scn01({ narrative: 'three' }))).sequence, 3)
  await again.close()
})

test('the auditor is told why the receiver refuses an association', async () => {
  const { root, whole } = await refused()
  writeFileSync(recordsPath(root), whole)
  const { exit, out } = await audit('verify', '--data', root)
  assert.equal(exit, 0, out)
  assert.match(out, /the receiver refuses this association/)
})

test('records that were removed with their directory are missed also after a restart, until a person accepts the loss', async () => {
  const root = scratchDir()
  const first = storeIn(root)
  for (const narrative of ['one', 'two']) await stored(first, scn01({ narrative }))
  rmSync(join(root, 'scn01'), { recursive: true })
  assert.equal((await stored(first, scn01({ association_slug: 'plum-grove' }))).sequence, 1)
  assert.deepEqual(await put(first, scn01({ narrative: 'three' })), damaged)
  await first.close()
  const second = storeIn(root)
  await second.start()
  assert.deepEqual((await second.readiness()).refused, ['scn01/heron-ridge'])
  assert.deepEqual(await put(second, scn01({ narrative: 'three' })), damaged)
  unlinkSync(refusalIn(root))
  await second.close()
  const third = storeIn(root)
  assert.equal((await stored(third, scn01({ narrative: 'three' }))).sequence, 1)
  await third.close()
})

test('a head file that was left without a records file, empty or of no record, is no loss to the auditor', async () => {
  const root = scratchDir()
  const store = storeIn(root)
  await stored(store, scn01())
  await store.close()
  const left = join(root, 'scn01/never-stored')
  mkdirSync(left, { mode: 0o750 })
  writeFileSync(join(left, '.records.head.json'), '', { mode: 0o640 })
  const { exit, out } = await audit('verify', '--data', root)
  assert.equal(exit, 0, out)
  assert.match(out, /The head file speaks of no record/)
  unlinkSync(recordsPath(root))
  assert.match((await audit('verify', '--data', root)).out, /All records of this association were removed/)
})

test('a torn file to which nobody posts causes no refusal', async () => {
  const root = scratchDir()
  const first = storeIn(root)
  await stored(first, scn01())
  await first.close()
  truncateSync(recordsPath(root), readFileSync(recordsPath(root)).length - 2)
  const second = storeIn(root)
  await second.start()
  await second.close()
  assert.equal(chainOf(recordsPath(root)).length, 1)
  assert.deepEqual(readdirSync(dirname(recordsPath(root))).sort(), ['.records.head.json', 'records.json'])
})
