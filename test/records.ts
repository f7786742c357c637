/** Records for the tests of storage, and the store that keeps them. */
import assert from 'node:assert/strict'
import type { JsonObject } from '../contracts/contract.ts'
import { contracts } from '../contracts/index.ts'
import type { AcceptedRecord, Outcome, Receipt } from '../contracts/record.ts'
import { accept } from '../src/envelope/accept.ts'
import { intake } from '../src/envelope/intake.ts'
import type { Log } from '../src/log.ts'
import { openFileStore } from '../src/storage/files/store.ts'
import type { Store } from '../src/storage/store.ts'
import { allVectors, bodyOf } from './vectors.ts'

export const quiet: Log = { info() {}, warn() {}, error() {}, fatal() {} }

export function accepted(envelope: object): AcceptedRecord {
  const context = { tokenSha256: 'f'.repeat(64), now: new Date() }
  const result = accept(envelope as JsonObject, [], context, contracts)
  assert.ok(result.ok, 'the test sends a valid envelope')
  return result.record
}

export function storeIn(root: string, log: Log = quiet): Store {
  return openFileStore({ root, minFreeBytes: 0, log })
}

export function put(store: Store, envelope: object): Promise<Outcome> {
  return store.put(accepted(envelope), performance.now() + 9_000)
}

export async function stored(store: Store, envelope: object): Promise<Receipt> {
  const outcome = await put(store, envelope)
  assert.ok(outcome.ok, `not stored: ${JSON.stringify(outcome)}`)
  return outcome.receipt
}

/** Every accepted vector, as the receiver passes it to a store. */
export function* acceptedVectors(): Generator<AcceptedRecord> {
  for (const vector of allVectors) {
    const taken = intake(new TextEncoder().encode(bodyOf(vector)))
    if (!taken.ok) continue
    const context = { tokenSha256: vector.token_sha256 ?? 'ab'.repeat(32), now: new Date() }
    const result = accept(taken.value, taken.found, context, contracts)
    if (result.ok) yield result.record
  }
}
