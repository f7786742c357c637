/** The verdicts of `g1` about one record, and the meaning of each. */
import type { JsonObject } from '../../../contracts/contract.ts'
import { instant } from '../../../contracts/envelope.ts'
import { textMember } from '../members.ts'
import type { Chain } from './chain.ts'
import { factsAt } from './facts.ts'
import { type Proof, proveExtrinsic } from './proof.ts'
import { EndpointError } from './rpc.ts'
import { type BlockStretch, findExtrinsic, type Search } from './search.ts'

type PaymentVerdict =
  | 'bound'
  | 'paid, not bound'
  | 'not found in window'
  | 'endpoint lacks the blocks'
  | 'endpoint error'

export type Online = {
  readonly verdict: PaymentVerdict
  readonly meaning: string
  readonly block: {
    readonly number: number
    readonly hash: string
    readonly time: string
    readonly index: number
  } | null
  readonly proof: Proof | null
}

const meanings: Readonly<Record<PaymentVerdict, string>> = {
  bound: 'A finalized block holds the extrinsic with this hash, and its comment names exactly this record.',
  'paid, not bound':
    'A finalized block holds the extrinsic with this hash, but it does not name this record: it could have been paid for something else.',
  'not found in window':
    'No finalized block of that stretch of time holds the extrinsic. This is not evidence of forgery: the clock of the sender, another chain or a late payment explain it too. Try a wider window or another endpoint.',
  'endpoint lacks the blocks':
    'The endpoint does not have every block of that stretch of time, so it cannot answer. Ask an archive node.',
  'endpoint error': 'The endpoint did not answer as it should, so nothing is known.',
}

/** The span of time in which to search: `before` and `after` are milliseconds around `submitted_at`. */
export function windowAround(record: JsonObject, before: number, after: number): BlockStretch | undefined {
  const submitted = instant(textMember(record, 'submitted_at') ?? '')
  return Number.isNaN(submitted) ? undefined : { from: submitted - before, until: submitted + after }
}

export async function askChain(
  chain: Chain,
  record: JsonObject,
  stretch: BlockStretch,
  progress: (looked: number) => void,
): Promise<Online> {
  try {
    const hash = textMember(record, 'g1_tx_hash') ?? ''
    return await judged(await findExtrinsic(chain, hash, stretch, progress), record, chain)
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error
    return nothing('endpoint error', error.message)
  }
}

function nothing(verdict: PaymentVerdict, why: string): Online {
  return { verdict, meaning: `${meanings[verdict]} (${why})`, block: null, proof: null }
}

async function judged(search: Search, record: JsonObject, chain: Chain): Promise<Online> {
  if (search.verdict === 'endpoint lacks the blocks') return nothing(search.verdict, search.why)
  if (search.verdict === 'not found in window')
    return nothing(search.verdict, `${search.looked} blocks looked through`)
  const { block, index, extrinsic } = search.found
  const proof = await proveExtrinsic(extrinsic, record, await factsAt(chain, block.number, extrinsic))
  const verdict = proof.comment === 'this record' ? 'bound' : 'paid, not bound'
  const { number, hash, time } = block
  return {
    verdict,
    meaning: meanings[verdict],
    block: { number, hash, time: new Date(time).toISOString(), index },
    proof,
  }
}
