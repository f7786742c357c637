/** Compares an answer with the expected one. */
import type { PipelinedAnswer } from '../answers.ts'
import type { Expected, StoredVerdict } from './post.ts'
import type { Tally } from './tally.ts'

/** An accepted post. Without an answer its record may or may not be on disk. */
export type Accepted = { readonly verdict: StoredVerdict; readonly answer?: ReceiptBody }

type ReceiptBody = {
  readonly outcome: string
  readonly received_at: string
  readonly id?: string
  readonly sequence?: number
  readonly record_sha256?: string
  readonly previous_sha256?: string
}

/** Counts the faults of an answer, and keeps a receipt for the check of the disk. */
export function compare(
  answer: PipelinedAnswer,
  bytes: Buffer,
  expected: Expected,
  tally: Tally,
  accepted: Accepted[],
): void {
  const json = JSON.parse(answer.body)
  const why =
    'verdict' in expected ? unlike(expected.verdict, answer, json) : unlikeRefusal(expected, answer, json)
  if (why !== undefined) tally.note(why, `${answer.status} ${answer.body.slice(0, 300)} to ${shown(bytes)}`)
  else if ('verdict' in expected) accepted.push({ verdict: expected.verdict, answer: json })
}

function unlikeRefusal(
  expected: { status: number },
  answer: PipelinedAnswer,
  json: Record<string, unknown>,
): string | undefined {
  if (answer.status !== expected.status) return answer.status >= 500 ? '5xx' : `not ${expected.status}`
  const isProblem =
    /^urn:civic-orchestrator:problem:[a-z-]+$/.test(String(json.type)) &&
    json.status === answer.status &&
    typeof json.instance === 'string'
  return isProblem ? undefined : 'problem'
}

function unlike(
  { record, addon, id }: StoredVerdict,
  answer: PipelinedAnswer,
  json: Record<string, unknown>,
): string | undefined {
  if (answer.status !== 200 && answer.status !== 201) return answer.status >= 500 ? '5xx' : 'not stored'
  const isNew = json.outcome === 'created' || json.outcome === 'appended'
  const isReceipt =
    json.status === 'stored' &&
    isNew === (answer.status === 201) &&
    json.addon === addon &&
    json.association_slug === record.association_slug &&
    json.participant_id === record.participant_id &&
    json.id === id
  return isReceipt ? undefined : 'receipt'
}

/** The beginning of the sent bytes, for a note. */
export function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.subarray(0, 600).toString('latin1'))
}
