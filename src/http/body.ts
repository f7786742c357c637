/** Reads a body within limits of size and time. Not one byte is read before the head of the request was found right. */
import { type Problem, problem, retryAfter } from './problem.ts'
import { smallBody } from './weight.ts'
import { within } from './within.ts'

export type BodyLimits = {
  readonly maxBytes: number
  /** When the whole body must be there, on the clock of `performance.now()`. */
  readonly until: number
  /** Asked before more than `smallBody` bytes of a body are read; false when there is no room for so many bytes. */
  readonly admit: (bytes: number) => Promise<boolean>
  /** Called right before the first byte is read. */
  readonly beforeBody: (() => void) | undefined
}

export type Body =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly refusal: Problem }

/** The refusal of a body for its head alone: an encoded body, or a declared length over the limit. */
export function headRefusal(headers: Headers, maxBytes: number): Problem | undefined {
  const encoding = headers.get('content-encoding')
  if (encoding && encoding.trim().toLowerCase() !== 'identity') {
    return problem('content-encoding', 'Send the body as it is, without Content-Encoding.', {
      headers: { 'accept-encoding': 'identity' },
    })
  }
  const declared = headers.get('content-length')
  return declared !== null && Number(declared) > maxBytes ? tooLarge(maxBytes) : undefined
}

function tooLarge(maxBytes: number): Problem {
  return problem('body-too-large', `Send at most ${maxBytes} bytes. The operator can raise MAX_BODY_BYTES.`)
}

export async function readBody(request: Request, limits: BodyLimits): Promise<Body> {
  const declared = request.headers.get('content-length')
  if (Number(declared) > smallBody && !(await limits.admit(Number(declared)))) return noRoom
  limits.beforeBody?.()
  try {
    const reading =
      declared === null ? readCounted(request.body, limits) : readDeclared(request, limits.maxBytes)
    return await within(Math.max(limits.until - performance.now(), 0), tooSlow, reading)
  } catch {
    return aborted
  }
}

const tooSlow: Body = {
  ok: false,
  refusal: problem('body-too-slow', 'Send the whole body within 8 seconds of the request head.'),
}
const aborted: Body = {
  ok: false,
  refusal: problem('body-aborted', 'The connection ended before the whole body had arrived. Send it again.'),
}

export const tooMany: Problem = problem(
  'too-many-requests-in-flight',
  'Send again in a moment.',
  retryAfter(1),
)
const noRoom: Body = { ok: false, refusal: tooMany }

/** The HTTP parser sees to it that the body is as long as its head declares. */
async function readDeclared(request: Request, maxBytes: number): Promise<Body> {
  const bytes = new Uint8Array(await request.arrayBuffer())
  return bytes.length > maxBytes ? { ok: false, refusal: tooLarge(maxBytes) } : { ok: true, bytes }
}

/** Reads a body without a declared length and counts its bytes as they come. */
async function readCounted(
  body: ReadableStream<Uint8Array> | null,
  { maxBytes, admit }: BodyLimits,
): Promise<Body> {
  const chunks: Uint8Array[] = []
  let length = 0
  let isAdmitted = false
  const reader = body?.getReader()
  for (;;) {
    const chunk = await reader?.read()
    if (!chunk || chunk.done) return { ok: true, bytes: joined(chunks, length) }
    length += chunk.value.length
    chunks.push(chunk.value)
    if (length > smallBody && !isAdmitted) isAdmitted = await admit(maxBytes)
    const refused = length > maxBytes ? ({ ok: false, refusal: tooLarge(maxBytes) } as const) : undefined
    if (refused || (length > smallBody && !isAdmitted)) return refused ?? noRoom
  }
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}
