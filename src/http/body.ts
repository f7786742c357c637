/** Reads a body within a size and a time, and not one byte of it before everything about its head is right. */
import { type Problem, problem } from './problem.ts'
import { within } from './within.ts'

export type BodyLimits = {
  readonly maxBytes: number
  /** Milliseconds left for the whole body. */
  readonly withinMs: number
}

export type Body =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly refusal: Problem }

/** What the head already rules out: an encoded body, a declared length over the limit. */
export function headRefusal(headers: Headers, maxBytes: number): Problem | undefined {
  const encoding = headers.get('content-encoding')
  if (encoding !== null && encoding.trim().toLowerCase() !== 'identity') {
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
  try {
    return await within(limits.withinMs, tooSlow, readAll(request, limits.maxBytes))
  } catch {
    return aborted
  }
}

const tooSlow: Body = {
  ok: false,
  refusal: problem('body-too-slow', 'Send the whole body within 8 seconds of the request head.', {
    headers: { connection: 'close' },
  }),
}
const aborted: Body = {
  ok: false,
  refusal: problem('body-aborted', 'The connection ended before the whole body had arrived. Send it again.'),
}

/** A declared length is kept to by the HTTP parser; without one the bytes are counted as they come. */
async function readAll(request: Request, maxBytes: number): Promise<Body> {
  const bytes = request.headers.has('content-length')
    ? new Uint8Array(await request.arrayBuffer())
    : await readCounted(request.body, maxBytes)
  if (bytes === undefined || bytes.length > maxBytes) return { ok: false, refusal: tooLarge(maxBytes) }
  return { ok: true, bytes }
}

async function readCounted(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let length = 0
  const reader = body?.getReader()
  for (;;) {
    const chunk = await reader?.read()
    if (!chunk || chunk.done) return joined(chunks, length)
    length += chunk.value.length
    if (length > maxBytes) {
      void discard(reader)
      return undefined
    }
    chunks.push(chunk.value)
  }
}

/** An unread rest would stop the connection, and with it the requests that follow. The platform bounds how long it may be. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array> | undefined): Promise<void> {
  try {
    while (reader && !(await reader.read()).done);
  } catch {
    // the connection ended
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
