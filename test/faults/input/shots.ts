/** Makes connections with a fault: the bytes to send, the way they end, and the permitted answers. */
import { token } from '../../receiver.ts'
import { judge } from '../oracle.ts'
import type { Random } from '../random.ts'
import { chunked } from './post.ts'
import { maxBody, tokenSha256 } from './settings.ts'

export type Shot = {
  readonly kind: string
  readonly parts: readonly Buffer[]
  /** How the sender ends the connection. `wait` means that the receiver ends it first. */
  readonly end: 'end' | 'destroy' | 'reset' | 'wait'
  /** The permitted statuses, in order. Undefined permits every answer that is no fault of the receiver. */
  readonly statuses?: readonly number[]
}

/** A valid request, in the parts from which a shot is made. */
type Request = {
  readonly choose: Random
  readonly body: Buffer
  readonly head: (more: string, line?: string) => Buffer
  readonly whole: Buffer
}

/** Makes one connection with a fault. Its envelopes have associations of their own. */
export function shot(choose: Random, right: Buffer): Shot {
  const body = Buffer.from(
    right.toString().replace(/"association_slug":"[^"]*"/, '"association_slug":"shot"'),
  )
  const head = (more: string, line = 'POST /receive HTTP/1.1'): Buffer =>
    Buffer.from(`${line}\r\nhost: r\r\nx-node-token: ${token}\r\n${more}\r\n`, 'latin1')
  const whole = Buffer.concat([head(`content-length: ${body.length}\r\n`), body])
  const request: Request = { choose, body, head, whole }
  const kinds = [spoiltBytes, cutOff, wrongLengths, wrongHeads, wrongRest].flatMap((group) => group(request))
  return choose.of(kinds)()
}

/** A valid request with bytes changed, added or removed. */
function spoiltBytes({ choose, body, whole, head }: Request): readonly (() => Shot)[] {
  return [
    () => ({ kind: 'mutated', parts: [mutated(choose, whole)], end: 'end' }),
    () => ({
      kind: 'mutated',
      parts: [
        mutated(choose, Buffer.concat([head('transfer-encoding: chunked\r\n'), chunked(choose, body)])),
      ],
      end: 'end',
    }),
  ]
}

/** A valid request whose sender goes away before its end, or before the answer. */
function cutOff({ choose, body, whole, head }: Request): readonly (() => Shot)[] {
  return [
    () => ({
      kind: 'aborted',
      parts: [whole.subarray(0, choose.below(whole.length))],
      end: choose.of(['end', 'destroy', 'reset']),
    }),
    () => ({
      kind: 'aborted',
      parts: [
        head('transfer-encoding: chunked\r\n'),
        Buffer.from(`${(body.length + 9).toString(16)}\r\n`),
        body,
      ],
      end: choose.of(['end', 'destroy', 'reset']),
    }),
    () => ({ kind: 'gone', parts: [whole], end: choose.of(['destroy', 'reset']) }),
  ]
}

/** A body whose length or coding is not that of its head. */
function wrongLengths({ choose, body, whole, head }: Request): readonly (() => Shot)[] {
  return [
    () => ({
      kind: 'lying, too long',
      parts: [head(`content-length: ${body.length + 1 + choose.below(999)}\r\n`), body],
      end: choose.of(['end', 'reset']),
    }),
    () => {
      const length = choose.below(body.length)
      const verdict = judge(body.subarray(0, length), tokenSha256)
      const status = verdict.status === 'stored' ? 200 : verdict.status
      return {
        kind: 'lying, too short',
        parts: [head(`content-length: ${length}\r\n`), body],
        end: 'wait',
        statuses: [status, 400],
      }
    },
    () => ({
      kind: 'two lengths',
      parts: [
        head(
          choose.of([
            `content-length: 5\r\ncontent-length: 6\r\n`,
            `content-length: ${body.length}\r\ntransfer-encoding: chunked\r\n`,
            `transfer-encoding: chunked\r\ncontent-length: 0\r\n`,
            'content-length: -1\r\n',
            'content-length: 1e3\r\n',
            `content-length: ${'9'.repeat(30)}\r\n`,
          ]),
        ),
        body,
        whole,
      ],
      end: 'wait',
      statuses: [400],
    }),
    () => ({
      kind: 'another coding',
      parts: [
        head(choose.of(['transfer-encoding: chunked, gzip\r\n', 'transfer-encoding: x\r\n'])),
        body,
        whole,
      ],
      end: 'wait',
      statuses: [501],
    }),
  ]
}

/** A head that is not valid, is too large, or has odd lines. */
function wrongHeads({ choose, body, head }: Request): readonly (() => Shot)[] {
  return [
    () => ({
      kind: 'no HTTP',
      parts: [
        choose.of([
          choose.bytes(1 + choose.below(300)),
          Buffer.from('\x16\x03\x01\x02\x00', 'latin1'),
          Buffer.from('GET /\r\n\r\n'),
          Buffer.from('POST /receive HTTP/1.1\nhost: r\n\n'),
          Buffer.from('\r\n\r\n\r\nPOST'),
          Buffer.from('SSH-2.0-x\r\n'),
        ]),
      ],
      end: 'end',
    }),
    () => ({
      kind: 'head too large',
      parts: [
        head(
          choose.of([`a: ${'x'.repeat(17_000 + choose.below(50_000))}\r\n`, 'aaaa: bbbb\r\n'.repeat(3_000)]),
        ),
        body,
      ],
      end: 'wait',
      statuses: [431],
    }),
    () => ({
      kind: 'odd head',
      parts: [
        head(
          choose.of([
            'expect: x\r\n',
            'host: two\r\n',
            'connection: close, x\r\n',
            'a:\r\n',
            ': b\r\n',
            'a b: c\r\n',
            'a: \0\r\n',
            ' folded\r\n',
            'x-node-token: again\r\n',
            'upgrade: websocket\r\nconnection: upgrade\r\n',
          ]),
          choose.of([
            'POST /receive HTTP/1.1',
            'POST /receive HTTP/1.0',
            'POST http://x/receive HTTP/1.1',
            'POST http://:0 HTTP/1.1',
            'POST * HTTP/1.1',
            'CONNECT r:1 HTTP/1.1',
            'TRACE /receive HTTP/1.1',
            'HEAD /receive HTTP/1.1',
            'GET /ready HTTP/1.1',
            'GET /health HTTP/1.1',
            'post /receive HTTP/1.1',
            'POST /receive HTTP/3.0',
            'POST /../receive HTTP/1.1',
            'POST /receive#x HTTP/1.1',
            'POST \\receive HTTP/1.1',
          ]),
        ),
      ],
      end: 'end',
    }),
  ]
}

/** A body that is followed by invalid bytes, or that the receiver does not read. */
function wrongRest({ choose, head }: Request): readonly (() => Shot)[] {
  return [
    () => ({
      kind: 'right, then nonsense',
      parts: [head(`content-length: 2\r\n`), Buffer.from('{}NONSENSE\r\n\r\n')],
      end: 'wait',
      statuses: [422, 400],
    }),
    () => ({
      kind: 'not read',
      parts: [
        head(`content-length: ${maxBody + 1 + choose.below(9e9)}\r\n`),
        Buffer.alloc(choose.below(200_000), 'x'),
      ],
      end: choose.of(['end', 'reset', 'destroy']),
    }),
    () => ({
      kind: 'streamed, too large',
      parts: [
        head('transfer-encoding: chunked\r\n'),
        ...Array.from({ length: 3 }, () =>
          Buffer.concat([Buffer.from('8000\r\n'), Buffer.alloc(0x8000, 'x'), Buffer.from('\r\n')]),
        ),
      ],
      end: 'end',
      statuses: [413],
    }),
    () => ({
      kind: 'asked for, refused',
      parts: [
        head(
          choose.of([`content-length: ${maxBody + 1}\r\n`, 'content-length: 9\r\ncontent-encoding: br\r\n']) +
            'expect: 100-continue\r\n',
        ),
      ],
      end: 'wait',
    }),
  ]
}

function mutated(choose: Random, bytes: Buffer): Buffer {
  let changed = Buffer.from(bytes)
  for (let n = 1 + choose.below(5); n > 0; n--) {
    const at = choose.below(changed.length)
    const kind = choose.below(5)
    if (kind === 0) changed[at]! ^= 1 << choose.below(8)
    else if (kind === 1) changed[at] = choose.of([0, 10, 13, 32, 58, 255, 34])
    else if (kind === 2)
      changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + choose.below(8))])
    else if (kind === 3)
      changed = Buffer.concat([
        changed.subarray(0, at),
        choose.bytes(1 + choose.below(8)),
        changed.subarray(at),
      ])
    else changed = Buffer.concat([changed.subarray(0, at), changed.subarray(choose.below(changed.length))])
    if (changed.length === 0) return Buffer.from('\n')
  }
  return changed
}
