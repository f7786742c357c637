/** Receipts of a real receiver over real sockets, compared with the files on disk. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { sha256 } from './disk.ts'
import { scn01, token, vs01 } from './receiver.ts'
import { asking, receiverOfFile, request } from './wire.ts'

const receiver = receiverOfFile()
const { answerTo } = asking(receiver)

describe('a receipt', { concurrency: true }, () => {
  const now = () => ({ submitted_at: new Date().toISOString() })

  test('of an appended record tells the line that is on disk, and a retry gets the same one', async () => {
    const envelopes = ['one', 'two'].map((narrative) =>
      scn01({ association_slug: 'receipts', narrative, ...now() }),
    )
    const answers = []
    for (const envelope of [...envelopes, ...envelopes]) answers.push(await answerTo(request(envelope)))
    const lines = readFileSync(join(receiver.dataDir, 'scn01/receipts/records.json'), 'utf8').split('\n')
    assert.deepEqual([lines.length, lines[0], lines[3], lines[4]], [5, '[', ']', ''])
    const stored = lines.slice(1, 3).map((line) => line.replace(/,$/, ''))

    answers.forEach((answer, n) => {
      const index = n % 2
      const record = JSON.parse(stored[index] as string)
      assert.equal(answer.status, n < 2 ? 201 : 200)
      assert.equal(answer.headers['content-type'], 'application/json')
      assert.deepEqual(answer.json(), {
        status: 'stored',
        outcome: n < 2 ? 'appended' : 'duplicate',
        addon: 'scn01',
        association_slug: 'receipts',
        participant_id: 'SASE1-22c-at-5sb-8hm-54v',
        received_at: record.receipt.received_at,
        id: record.receipt.id,
        sequence: index + 1,
        record_sha256: sha256(stored[index] as string),
        previous_sha256: index === 0 ? '0'.repeat(64) : sha256(stored[0] as string),
      })
      assert.equal(record.node_token_hash, sha256(token))
    })
  })

  test('of an overwritten record tells which it was: created, then replaced', async () => {
    for (const [status, outcome] of [
      [201, 'created'],
      [200, 'replaced'],
      [200, 'replaced'],
    ] as const) {
      const envelope = vs01({ association_slug: 'overwritten', ...now(), fields: { at: Math.random() } })
      const answer = await answerTo(request(envelope))
      assert.equal(answer.status, status)
      const path = join(receiver.dataDir, 'vs01/overwritten/SASE1-22c-at-5sb-8hm-54v.json')
      const { receipt, ...stored } = JSON.parse(readFileSync(path, 'utf8'))
      assert.deepEqual(stored, envelope)
      assert.deepEqual(answer.json(), {
        status: 'stored',
        outcome,
        addon: 'vs01',
        association_slug: 'overwritten',
        participant_id: 'SASE1-22c-at-5sb-8hm-54v',
        received_at: receipt.received_at,
      })
      assert.deepEqual(Object.keys(receipt), ['received_at'])
    }
  })
})
