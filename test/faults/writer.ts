/**
 * A process of the part `locks`. It stores with the real storage modules and can be made to stall. It inspects every lock directory that it
 * removes, by moving it aside first, which is as atomic as removing it.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import type { Json } from '../../contracts/contract.ts'
import type { AcceptedRecord, Member, Outcome } from '../../contracts/record.ts'

export type Order =
  | {
      readonly kind: 'put'
      readonly number: number
      readonly envelope: Record<string, Json>
      readonly at: number
    }
  /** Blocks the event loop. */
  | { readonly kind: 'stall'; readonly ms: number }

/** `foreign` is the number of fresh lock directories of other processes that this process has removed so far. */
export type WriterReply = { readonly number: number; readonly outcome: Outcome; readonly foreign: number }

const [, , root, graveyard] = process.argv as [string, string, string, string]
const staleMs = 5_000
const mine = new Set<string>()
let removed = 0
let foreign = 0

const identity = ({ ino, birthtimeNs }: fs.BigIntStats): string => `${ino} ${birthtimeNs}`
const { mkdirSync } = fs
fs.mkdirSync = ((path: string, options?: fs.MakeDirectoryOptions) => {
  const made = mkdirSync(path, options)
  const found = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  if (found) mine.add(identity(found))
  return made
}) as typeof fs.mkdirSync
fs.rmdirSync = (path) => {
  const aside = join(graveyard, `${process.pid}-${removed++}`)
  fs.renameSync(path, aside)
  const found = fs.statSync(aside, { bigint: true })
  if (!mine.has(identity(found)) && Number(found.mtimeMs) > Date.now() - staleMs) foreign++
}
syncBuiltinESMExports()

const { openFileStore } = await import('../../src/storage/files/store.ts')
const silent = { info() {}, warn() {}, error() {}, fatal() {} }
const store = openFileStore({ root, minFreeBytes: 0, log: silent })

function recordOf(envelope: Record<string, Json>): AcceptedRecord {
  const members = Object.entries(envelope) as Member[]
  return {
    addon: String(envelope.addon),
    association_slug: String(envelope.association_slug),
    participant_id: String(envelope.participant_id),
    storage: 'append-only',
    members,
    unhashed: [['node_token_hash', '0'.repeat(64)]],
  }
}

function stall(until: number): void {
  while (Date.now() < until);
}

process.on('message', async (order: Order) => {
  if (order.kind === 'stall') {
    stall(Date.now() + order.ms)
    return
  }
  // All processes with the same `at` begin at the same time.
  if (order.at > 0) stall(order.at)
  const outcome = await store.put(recordOf(order.envelope), performance.now() + 9_000)
  process.send?.({ number: order.number, outcome, foreign } satisfies WriterReply)
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
