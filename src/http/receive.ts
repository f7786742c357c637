/** `POST /receive`: the refusals of SPEC 2 in their order, then the receipt. Each step calls the next one once. */
import type { Contracts, FieldError } from '../../contracts/contract.ts'
import type { AcceptedRecord, Fault, Outcome, Receipt, RecordStore } from '../../contracts/record.ts'
import { accept } from '../envelope/accept.ts'
import { intake } from '../envelope/intake.ts'
import { ownNames } from '../envelope/own-names.ts'
import { headRefusal, readBody, tooMany } from './body.ts'
import { type Problem, type ProblemName, problem, retryAfter } from './problem.ts'
import { presentedToken, type TokenCheck, wrongToken } from './token.ts'
import type { Visit } from './visit.ts'
import { Scale, smallBody, Turns } from './weight.ts'
import { within } from './within.ts'

/** Every request is answered within 10 s of its arrival (SPEC 2): the body has 8 s, storage has the rest. */
const bodyMs = 8_000
/** A body whose parsing has not begun by then is not parsed, because its answer would be late. */
const parseMs = 8_500
const storeMs = 9_000
const answerMs = 9_500

/** Why the receiver accepts nothing at the moment. `reason` is what the operator wrote. */
export type Closed = { readonly kind: 'paused'; readonly reason: string } | { readonly kind: 'draining' }

export type ReceiveDeps = {
  readonly contracts: Contracts
  readonly store: RecordStore
  readonly tokens: TokenCheck
  /** Called for each request; undefined when the receiver is open. */
  readonly closed: () => Closed | undefined
  readonly maxBodyBytes: number
  /** Called with the age of each accepted envelope, by its own `submitted_at`. */
  readonly accepted?: (agoMs: number) => void
  /** How many requests may be between the check of their token and their answer at one time. */
  readonly maxInFlight: number
}

export type StoredEnvelope = {
  readonly record: AcceptedRecord
  readonly receipt: Receipt
  readonly warnings: readonly FieldError[]
}
export type Received = { readonly stored: StoredEnvelope } | { readonly refusal: Problem }

/** `beforeBody` is called right before the first byte of the body is read; the server then sends `100 Continue`. */
export type Receive = (
  request: Request,
  visit: Visit,
  beforeBody?: () => void,
) => Received | Promise<Received>

type Load = { readonly scale: Scale; readonly turns: Turns }

export function receiver(deps: ReceiveDeps): Receive {
  const load: Load = { scale: new Scale(), turns: new Turns() }
  let inFlight = 0
  return (request, visit, beforeBody) => {
    const tokenSha256 = deps.tokens.match(presentedToken(request.headers))
    if (tokenSha256 === undefined) return { refusal: wrongToken }
    visit.isKnown = true
    const shut = closedProblem(deps.closed()) ?? (inFlight >= deps.maxInFlight ? tooMany : undefined)
    const refusal = shut ?? headRefusal(request.headers, deps.maxBodyBytes)
    if (refusal) return { refusal }
    inFlight++
    return take(deps, load, { request, visit, tokenSha256, beforeBody }).finally(() => {
      inFlight--
    })
  }
}

type Post = {
  readonly request: Request
  readonly visit: Visit
  readonly tokenSha256: string
  readonly beforeBody: (() => void) | undefined
}

async function take(deps: ReceiveDeps, load: Load, post: Post): Promise<Received> {
  const releases: (() => void)[] = []
  let isAnswered = false
  const admit = async (bytes: number): Promise<boolean> => {
    const release = await load.scale.admit(bytes)
    if (release) releases.push(release)
    // the body was too slow, and its request was answered while this one waited for room
    if (isAnswered) release?.()
    return release !== undefined
  }
  try {
    const body = await readBody(post.request, {
      maxBytes: deps.maxBodyBytes,
      until: post.visit.arrived + bodyMs,
      admit,
      beforeBody: post.beforeBody,
    })
    if (!body.ok) return { refusal: body.refusal }
    post.visit.bytes = body.bytes.length
    if (body.bytes.length <= smallBody) return await work(deps, post, body.bytes)
    const end = await load.turns.take()
    const answer = work(deps, post, body.bytes)
    end()
    return await answer
  } finally {
    isAnswered = true
    for (const release of releases) release()
  }
}

/** Parsing and judging, which hold the thread, are done before this function returns; only storing goes on afterwards. */
function work(
  deps: ReceiveDeps,
  { visit, tokenSha256 }: Post,
  bytes: Uint8Array,
): Promise<Received> | Received {
  if (performance.now() > visit.arrived + parseMs) return { refusal: tooMany }
  const taken = intake(bytes)
  if (!taken.ok) {
    Object.assign(visit, ownNames(taken.read, taken.errors ?? [], deps.contracts))
    return { refusal: problem('bad-json', taken.detail, taken) }
  }
  const accepted = accept(taken.value, taken.found, { tokenSha256, now: new Date() }, deps.contracts)
  if (!accepted.ok) {
    visit.violations = accepted.errors.length
    Object.assign(visit, ownNames(taken.value, accepted.errors, deps.contracts))
    return {
      refusal: problem('bad-envelope', 'Change what `errors` names and post the envelope again.', accepted),
    }
  }
  visit.addon = accepted.record.addon
  deps.accepted?.(accepted.agoMs)
  visit.association = accepted.record.association_slug
  return store(deps, visit, accepted)
}

async function store(
  deps: ReceiveDeps,
  visit: Visit,
  { record, warnings }: Pick<StoredEnvelope, 'record' | 'warnings'>,
): Promise<Received> {
  const left = Math.max(visit.arrived + answerMs - performance.now(), 0)
  // storage keeps its own deadline, but cannot when the disk does not answer
  const outcome = await within(left, late, deps.store.put(record, visit.arrived + storeMs))
  if (!outcome.ok) return { refusal: faults[outcome.fault] }
  return { stored: { record, receipt: outcome.receipt, warnings } }
}

const late: Outcome = { ok: false, fault: 'busy' }

function closedProblem(closed: Closed | undefined): Problem | undefined {
  if (closed?.kind === 'paused') {
    return problem(
      'paused',
      `The operator has paused this receiver: ${closed.reason}. Send again later.`,
      retryAfter(60),
    )
  }
  return (
    closed && problem('draining', 'This receiver is about to stop or restart. Send again.', retryAfter(2))
  )
}

const faults: Readonly<Record<Fault, Problem>> = {
  full: problem(
    'disk-full',
    'Nothing was stored or changed. Send again when the operator has made room on the disk.',
    retryAfter(60),
  ),
  busy: problem(
    'storage-busy',
    'It is not known to be stored. Send the same envelope again: it is stored once.',
    retryAfter(2),
  ),
  reading: problem(
    'storage-busy',
    'Nothing was stored. The receiver has started lately and still reads the records of this association; `/ready` names it. Send the same envelope again.',
    retryAfter(10),
  ),
  io: problem(
    'storage-failure',
    'It is not known to be stored. Send the same envelope again: it is stored once.',
    retryAfter(10),
  ),
  files: problem(
    'too-many-open-files',
    'It is not known to be stored. Send the same envelope again: it is stored once.',
    retryAfter(10),
  ),
  paused: problem(
    'paused',
    'Nothing was stored: whoever owns the database has closed it for a while. Send again later.',
    retryAfter(60),
  ),
  long: problem(
    'body-too-large',
    'Nothing was stored: as stored, with its numbers and blanks written out, the record would be longer than 7.5 MiB. Send less.',
  ),
  damaged: problem(
    'records-refused',
    'Nothing was stored. The records of this association have been altered or damaged and are left alone until the operator has looked at them.',
    retryAfter(300),
  ),
}

/** Refusals of an envelope, for which the addon is known. */
export const refusalsOfEnvelopes: readonly ProblemName[] = [
  'bad-json',
  'bad-envelope',
  ...new Set(Object.values(faults).map(({ name }) => name)),
]
