/** Makes a post whose answer is known before it is sent. Mostly the body decides; sometimes the head is refused before the body. */
import { token } from '../../receiver.ts'
import type { Grammar } from '../bodies.ts'
import { judge, type OracleVerdict } from '../oracle.ts'
import type { Random } from '../random.ts'
import { maxBody, tokenSha256 } from './settings.ts'

export type StoredVerdict = Extract<OracleVerdict, { status: 'stored' }>
export type Expected = { readonly status: number } | { readonly verdict: StoredVerdict }
export type Post = { readonly bytes: Buffer; readonly expected: Expected }

export function post(choose: Random, bodies: Grammar, slot: number, isLast: boolean): Post {
  const body = bodies.body(slot)
  const headers: string[] = ['host: r']
  let [method, path] = ['POST', choose.of(['/receive', '/receive', '/receive', '/receive/', '/receive?a=b'])]
  let refusal: number | undefined
  const refuse = (status: number): void => {
    refusal ??= status
  }
  const oddity = choose.oneIn(10) ? choose.below(9) : -1
  // The oddities are in the order of SPEC 2. A later one counts only when no earlier one is there.
  if (oddity === 0 || (oddity > 0 && choose.oneIn(9))) {
    path = choose.of(['/', '/received', '/receive/x', '//receive', '/%', '/receive%00'])
    refuse(404)
  }
  if (oddity === 1) {
    method = choose.of(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'QUERY', 'PROPFIND'])
    refuse(405)
  }
  const secret =
    oddity === 2 ? choose.of(['', 'x', token.slice(1), `${token}x`, token.toUpperCase(), '"']) : token
  if (secret !== token) refuse(401)
  if (choose.oneIn(8)) {
    headers.push(`authorization: Bearer ${secret}`)
  } else headers.push(`x-node-token: ${secret}`)
  if (oddity === 3) {
    headers.push(`content-encoding: ${choose.of(['gzip', 'br', 'x', 'identity, gzip'])}`)
    refuse(415)
  }
  if (choose.oneIn(6))
    headers.push(
      choose.of([
        'content-encoding: identity',
        'accept: */*',
        'cookie: a=b',
        'x-request-id: \xe9',
        'content-type: application/x-www-form-urlencoded',
        'connection: keep-alive',
        'upgrade: h2c',
        'te: trailers',
        'range: bytes=0-1',
        'if-match: "x"',
      ]),
    )
  if (isLast && choose.oneIn(4)) headers.push('expect: 100-continue')
  const isChunked = choose.oneIn(4)
  if (body.length > maxBody) refuse(413)
  headers.push(isChunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`)
  const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1')
  const bytes = Buffer.concat([head, isChunked ? chunked(choose, body) : body])
  return { bytes, expected: refusal === undefined ? expectedOf(body) : { status: refusal } }
}

function expectedOf(body: Buffer): Expected {
  const verdict = judge(body, tokenSha256)
  return verdict.status === 'stored' ? { verdict } : verdict
}

export function chunked(choose: Random, body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, 1 + choose.below(choose.of([4, 200, 70_000])))
    const extension = choose.oneIn(8) ? choose.of([';a', ';a=b', ';a="b;c"']) : ''
    parts.push(
      Buffer.from(`${size.toString(16)}${extension}\r\n`),
      body.subarray(at, at + size),
      Buffer.from('\r\n'),
    )
    at += size
  }
  const trailer = choose.oneIn(8) ? 'x-trailer: y\r\n' : ''
  return Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)])
}
