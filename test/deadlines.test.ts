/** Body and storage share the ten seconds of a request. Storage has only the time that the body left, and drops a record that it cannot begin in time. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { contracts } from '../contracts/index.ts'
import type { Outcome } from '../contracts/record.ts'
import { createApp } from '../src/http/app.ts'
import { tokenCheck } from '../src/server/tokens.ts'
import { AppendLog } from '../src/storage/files/append.ts'
import { chainOf, recordsPath } from './disk.ts'
import { scn01, scratchDir, token, vs01 } from './receiver.ts'
import { accepted, quiet, storeIn } from './records.ts'

const longAgo = performance.now() - 1

for (const [rule, envelope] of [
  ['an overwritten', vs01()],
  ['an appended', scn01()],
] as const) {
  test(`${rule} record whose time is over is not stored`, async () => {
    const root = scratchDir()
    const store = storeIn(root)
    assert.deepEqual(await store.put(accepted(envelope), longAgo), { ok: false, fault: 'busy' })
    await store.close()
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    )
    for (const { name } of files) assert.ok(!name.includes('5sb-8hm'), name)
    const again = await store.put(accepted(envelope), performance.now() + 9_000)
    assert.ok(again.ok && again.receipt.outcome !== 'duplicate' && again.receipt.outcome !== 'replaced')
    await store.close()
  })
}

test('an appended record whose time runs out while it waits for others is not stored', async () => {
  const root = scratchDir()
  const directory = dirname(recordsPath(root))
  const log = new AppendLog([dirname(directory), directory], quiet)
  const first = log.put(accepted(scn01()), performance.now() + 9_000)
  const late = accepted(scn01({ narrative: 'too late' }))
  const deadline = performance.now() + 50
  const second = log.put(late, deadline)
  // Neither request has got any further, because this loop blocks the only thread.
  while (performance.now() <= deadline);
  assert.ok((await first).ok)
  assert.deepEqual(await second, { ok: false, fault: 'busy' })
  await log.close()
  assert.equal(chainOf(recordsPath(root)).length, 1)
})

/** Posts to an app a request that came `ago` milliseconds ago. The store hands its deadline over to the test and never answers. */
function postedAgo(ago: number) {
  const seen: number[] = []
  const app = createApp({
    contracts,
    store: {
      put: (_record, deadline) => {
        seen.push(deadline)
        return new Promise<Outcome>(() => {})
      },
    },
    tokens: tokenCheck({ current: token }),
    closed: () => undefined,
    readiness: async () => ({ reasons: [], refused: [] }),
    log: quiet,
    tell: () => {},
    maxBodyBytes: 100_000,
    maxInFlight: 8,
  })
  const visit = { id: 'late', arrived: performance.now() - ago }
  const body = JSON.stringify(vs01())
  const request = new Request('http://localhost/receive', {
    method: 'POST',
    headers: { 'x-node-token': token, 'content-length': String(body.length) },
    body,
  })
  return { visit, seen, answer: Promise.resolve(app.fetch(request, { visit })) }
}

test('a slow body and a locked association together are answered within 10 s of the arrival', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const { visit, seen, answer } = postedAgo(3_000)
    let status: number | undefined
    answer.then((response) => {
      status = response.status
    })
    while (seen.length === 0) await nextTurn()
    assert.deepEqual(seen, [visit.arrived + 9_000])
    // At most so much is left of the 9.5 s.
    mock.timers.tick(6_500)
    for (let turn = 0; turn < 50 && status === undefined; turn++) await nextTurn()
    assert.equal(status, 503)
  } finally {
    mock.timers.reset()
  }
})

test('a body that came too late to be stored in time is not parsed', async () => {
  const { seen, answer } = postedAgo(9_000)
  const { status } = await answer
  assert.ok(status === 503 || status === 408, String(status))
  assert.deepEqual(seen, [])
})
