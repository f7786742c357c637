/**
 * The part that all peers share to do the same work as the receiver: the same intake, contract, id and chain, the same refusals by status,
 * and the same receipt. Each peer keeps the rows itself. The token, the pause file, limits, deadlines, the log, and a lock between processes
 * are left out, in favour of the peer.
 */
import { Hono } from 'hono'
import { contracts } from '../../../contracts/index.ts'
import type { AcceptedRecord } from '../../../contracts/record.ts'
import { accept } from '../../../src/envelope/accept.ts'
import { intake } from '../../../src/envelope/intake.ts'
import { assemble, type Draft, draftOf } from '../../../src/records/batch.ts'
import { latestText } from '../../../src/records/latest.ts'
import { parseReceipt } from '../../../src/records/line.ts'
import { noHash } from '../../../src/records/position.ts'
import { sha256Hex } from '../../../src/records/sha256.ts'
import { benchTokenSha256 } from '../request.ts'

/** One appended record: `line` is what the receiver would write to its file, byte for byte. */
export type StoredRow = {
  readonly association: string
  readonly sequence: number
  readonly id: string
  readonly line: Uint8Array
}
export type Latest = { readonly association: string; readonly participant: string; readonly text: string }

/** The rows of a peer. A row is committed when `append` returns, or when its promise resolves. */
export type Rows = {
  /** The last line of an association. It is asked for once; then the chain is kept in memory. */
  last(association: string): Promise<Uint8Array | undefined> | Uint8Array | undefined
  /** Appends a row. If a line with this id is stored already, that line is returned and nothing is changed; otherwise undefined. */
  append(row: StoredRow): Promise<Uint8Array | undefined> | Uint8Array | undefined
  overwrite(latest: Latest): Promise<void> | void
}

/** What a peer does with an accepted record. On disk when the promise resolves. */
export type Peer = Pick<Rows, 'overwrite'> & {
  append(association: string, draft: Draft): Promise<Receipt>
}

/** A peer that keeps the heads in its memory. A second process beside it would fork the chains. */
export function alone(rows: Rows): Peer {
  const chains = new Map<string, Chain>()
  const chainOf = (association: string): Chain => {
    const chain = chains.get(association) ?? new Chain(association, rows)
    chains.set(association, chain)
    return chain
  }
  return {
    append: (association, draft) => chainOf(association).put(draft),
    overwrite: (latest) => rows.overwrite(latest),
  }
}

export function checkedApp(peer: Peer): Hono {
  const app = new Hono()
  app.post('/receive', async (c) => {
    const taken = intake(new Uint8Array(await c.req.arrayBuffer()))
    if (!taken.ok) return c.json({ detail: taken.detail }, 400)
    const context = { tokenSha256: benchTokenSha256, now: new Date() }
    const accepted = accept(taken.value, taken.found, context, contracts)
    if (!accepted.ok) return c.json({ errors: accepted.errors }, 422)
    const { record, warnings } = accepted
    const { addon, association_slug, participant_id } = record
    const stored =
      record.storage === 'append-only'
        ? await peer.append(`${addon}/${association_slug}`, draftOf(record))
        : await overwritten(peer, record)
    return c.json({ status: 'stored', addon, association_slug, participant_id, ...stored, warnings }, 201)
  })
  return app
}

async function overwritten(peer: Peer, record: AcceptedRecord): Promise<{ received_at: string }> {
  const received_at = new Date().toISOString()
  const { addon, association_slug, participant_id } = record
  const text = latestText(record, received_at)
  await peer.overwrite({ association: `${addon}/${association_slug}`, participant: participant_id, text })
  return { received_at }
}

export type Receipt = {
  readonly id: string
  readonly sequence: number
  readonly record_sha256: string
  readonly previous_sha256: string
}

/** Appends one row after the other, because each line holds the hash of the line before it. */
class Chain {
  readonly #association: string
  readonly #rows: Rows
  #last: Head | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(association: string, rows: Rows) {
    this.#association = association
    this.#rows = rows
  }

  put(draft: Draft): Promise<Receipt> {
    const here = this.#turn.then(() => this.#put(draft))
    this.#turn = here.catch(() => {})
    return here
  }

  async #put(draft: Draft): Promise<Receipt> {
    const association = this.#association
    this.#last ??= headOf(await this.#rows.last(association))
    const { line, head } = lineBehind(this.#last, draft)
    const found = await this.#rows.append({ association, sequence: head.count, id: draft.id, line })
    if (found) return receiptIn(found)
    this.#last = head
    return receiptIn(line, head.sha256)
  }
}

export type Head = { readonly count: number; readonly sha256: string }

/** The line of a draft behind a head, and the head when it is stored. */
export function lineBehind(head: Head, draft: Draft): { readonly line: Uint8Array; readonly head: Head } {
  const { bytes, records, next } = assemble({ ...head, end: 0 }, false, [draft], new Date().toISOString())
  const { sequence, offset, sha256 } = records[0]!
  return { line: bytes.subarray(offset, next.end), head: { count: sequence, sha256 } }
}

function headOf(line: Uint8Array | undefined): Head {
  return line ? { count: receiptIn(line).sequence, sha256: sha256Hex(line) } : { count: 0, sha256: noHash }
}

export function receiptIn(line: Uint8Array, sha256 = sha256Hex(line)): Receipt {
  const receipt = parseReceipt(line)
  if (!receipt) throw new Error('a stored row is no record')
  const { id, sequence, previous_sha256 } = receipt
  return { id, sequence, record_sha256: sha256, previous_sha256 }
}
