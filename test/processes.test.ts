/** Real receivers in processes of their own on one data directory: they share it, are killed, and start again. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { chainOf, recordsPath, sha256 } from './disk.ts'
import { type Receiver, scn01, scratchDir, startReceiver, vs01 } from './receiver.ts'

type ReceiptAnswer = { readonly outcome: string; readonly sequence: number; readonly record_sha256: string }

async function answered(response: Response): Promise<ReceiptAnswer> {
  assert.ok(response.ok, `${response.status} ${await response.clone().text()}`)
  return response.json() as Promise<ReceiptAnswer>
}

test('two receivers on one data directory make one record of fifty parallel retries', async () => {
  const DATA_DIR = scratchDir()
  const receivers = await Promise.all([startReceiver({ DATA_DIR }), startReceiver({ DATA_DIR })])
  const posts = Array.from({ length: 50 }, (_, n) =>
    (receivers[n % 2] as Receiver).post(scn01()).then(answered),
  )
  const answers = await Promise.all(posts)
  await Promise.all(receivers.map((receiver) => receiver.stop()))
  const [line, ...others] = chainOf(recordsPath(DATA_DIR)) as [string]
  assert.deepEqual(others, [])
  assert.equal(answers.filter(({ outcome }) => outcome === 'appended').length, 1)
  assert.deepEqual(new Set(answers.map(({ record_sha256 }) => record_sha256)), new Set([sha256(line)]))
})

test('two receivers that append to one association in turns keep one unbroken chain', async () => {
  const DATA_DIR = scratchDir()
  const receivers = await Promise.all([startReceiver({ DATA_DIR }), startReceiver({ DATA_DIR })])
  const send = async (receiver: Receiver, name: string): Promise<ReceiptAnswer[]> => {
    const answers: ReceiptAnswer[] = []
    for (let n = 0; n < 60; n++)
      answers.push(await answered(await receiver.post(scn01({ narrative: `${name} ${n}` }))))
    return answers
  }
  const answers = (await Promise.all(receivers.map((receiver, n) => send(receiver, `sender ${n}`)))).flat()
  await Promise.all(receivers.map((receiver) => receiver.stop()))
  const lines = chainOf(recordsPath(DATA_DIR))
  assert.equal(lines.length, 120)
  for (const { sequence, record_sha256 } of answers)
    assert.equal(sha256(lines[sequence - 1] as string), record_sha256)
})

test('killed under load, it has every acknowledged record, and answers the first request of the next start within 10 s', async () => {
  const DATA_DIR = scratchDir()
  const kept: ReceiptAnswer[] = []
  for (let round = 0; round < 3; round++) {
    const receiver = await startReceiver({ DATA_DIR })
    const started = performance.now()
    kept.push(await answered(await receiver.post(scn01({ narrative: `first of round ${round}` }))))
    assert.ok(performance.now() - started < 10_000)
    const senders = Array.from({ length: 16 }, async (_, sender) => {
      for (let n = 0; ; n++) {
        kept.push(await answered(await receiver.post(scn01({ narrative: `${round} ${sender} ${n}` }))))
        if (kept.length === 30 * (round + 1)) receiver.process.kill('SIGKILL')
      }
    })
    await Promise.allSettled(senders)
  }
  const last = await startReceiver({ DATA_DIR })
  await answered(await last.post(scn01({ narrative: 'the last' })))
  await last.stop()
  const lines = chainOf(recordsPath(DATA_DIR))
  assert.ok(kept.length >= 90, `${kept.length} records`)
  for (const { sequence, record_sha256 } of kept)
    assert.equal(sha256(lines[sequence - 1] as string), record_sha256)
})

test('a flipped byte in one association is refused with 503 and a reason, and another answers 201', async () => {
  const receiver = await startReceiver()
  await answered(await receiver.post(scn01({ narrative: 'one' })))
  await answered(await receiver.post(scn01({ narrative: 'two' })))
  const path = recordsPath(receiver.dataDir)
  const bytes = readFileSync(path)
  bytes[bytes.indexOf('"one"') + 1] = 0x4f
  writeFileSync(path, bytes)
  // This is longer than a tick of the clock for the times of files.
  await new Promise((resolve) => setTimeout(resolve, 150))
  const refused = await receiver.post(scn01({ narrative: 'three' }))
  assert.equal(refused.status, 503)
  assert.equal(
    ((await refused.json()) as { type: string }).type,
    'urn:civic-orchestrator:problem:records-refused',
  )
  assert.equal((await receiver.post(scn01({ association_slug: 'plum-grove' }))).status, 201)
  const ready = await fetch(`${receiver.url}/ready`)
  assert.equal(ready.status, 200)
  assert.deepEqual((await ready.json()).refused_associations, ['scn01/heron-ridge'])
  await receiver.stop()
  assert.deepEqual(readFileSync(path), bytes)
  assert.ok(receiver.output().includes('"level":60'))
})

test('a record and a replaced record are answered as SPEC 4 has it', async () => {
  const receiver = await startReceiver()
  const outcomes: string[] = []
  for (const envelope of [vs01(), vs01(), scn01(), scn01()]) {
    const response = await receiver.post(envelope)
    outcomes.push(`${response.status} ${((await response.json()) as ReceiptAnswer).outcome}`)
  }
  await receiver.stop()
  assert.deepEqual(outcomes, ['201 created', '200 replaced', '201 appended', '200 duplicate'])
})
