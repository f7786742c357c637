/** Records for storage tests, and the data directory read back the way an auditor would. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'
import type { AcceptedRecord, Outcome, Receipt } from '../contracts/record.ts'
import { accept } from '../src/http/accept.ts'
import type { Log } from '../src/log.ts'
import { openStore, type Store } from '../src/storage/store.ts'

export const quiet: Log = { info() {}, warn() {}, error() {}, fatal() {} }

export function accepted(envelope: object): AcceptedRecord {
  const context = { tokenSha256: 'f'.repeat(64), now: new Date() }
  const result = accept(envelope as JsonObject, [], context, contracts)
  assert.ok(result.ok, 'the test sends a valid envelope')
  return result.record
}

export function storeIn(root: string, log: Log = quiet): Store {
  return openStore({ root, minFreeBytes: 0, log })
}

export function put(store: Store, envelope: object): Promise<Outcome> {
  return store.put(accepted(envelope), performance.now() + 9_000)
}

export async function stored(store: Store, envelope: object): Promise<Receipt> {
  const outcome = await put(store, envelope)
  assert.ok(outcome.ok, `not stored: ${JSON.stringify(outcome)}`)
  return outcome.receipt
}

export function recordsPath(root: string, slug = 'heron-ridge'): string {
  return join(root, 'scn01', slug, 'records.json')
}

/** Lines of a records file without commas, after checking that it is valid JSON with an unbroken chain. */
export function chainOf(path: string): string[] {
  const text = readFileSync(path, 'utf8')
  JSON.parse(text)
  assert.ok(text.startsWith('[\n') && text.endsWith('\n]\n'), 'not at rest')
  const lines = text
    .split('\n')
    .slice(1, -2)
    .map((line) => line.replace(/,$/, ''))
  let previous = '0'.repeat(64)
  lines.forEach((line, index) => {
    const { receipt } = JSON.parse(line)
    assert.equal(receipt.sequence, index + 1)
    assert.equal(receipt.previous_sha256, previous)
    previous = sha256(line)
  })
  return lines
}

export function sha256(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex')
}
