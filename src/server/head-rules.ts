/** What the head of a request alone rules out, before anybody looks at its path: RFC 9112, SPEC 2. */
import type { IncomingMessage } from 'node:http'
import { type Problem, problem } from '../http/problem.ts'
import { tokenTwice } from '../http/token.ts'

/** Node keeps no more lines than these; a proxy adds a dozen to those of its sender. */
export const mostHeaderLines = 100

export function headProblem({
  method,
  rawHeaders,
  headers,
  httpVersionMinor,
}: IncomingMessage): Problem | undefined {
  if (rawHeaders.length > 2 * mostHeaderLines) return tooManyLines
  let [hosts, tokens] = [0, 0]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
    else if (name.length === 12 && name.toLowerCase() === 'x-node-token') tokens++
  }
  if (hosts > 1) return twoHosts
  // HTTP/1.0 has no such header, and the plain check of a load balancer speaks it
  if (!headers.host && httpVersionMinor > 0) return noHost
  if (tokens > 1) return tokenTwice
  const coding = headers['transfer-encoding']
  if (coding !== undefined) return coding.trim().toLowerCase() === 'chunked' ? undefined : otherCoding
  return method === 'POST' && headers['content-length'] === undefined ? noLength : undefined
}

export const tooManyLines: Problem = problem(
  'header-too-large',
  `Send at most ${mostHeaderLines} header lines.`,
)
const twoHosts = problem('bad-request', 'Send one Host header, not several.')
const noHost = problem('bad-request', 'Send a Host header: HTTP/1.1 asks for one.')
const noLength = problem(
  'length-required',
  'Send the body with its Content-Length, or with Transfer-Encoding: chunked.',
)
export const otherCoding: Problem = problem(
  'transfer-encoding',
  'Send the body with a Content-Length, or with Transfer-Encoding: chunked and no other coding.',
)

/** RFC 9110, 7.6.3 and what proxies send in its place: the one that connects is not the one that asks. */
const forwarding = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via']

/** Whether the request comes from this machine itself: over the loopback interface or a unix socket, and through no proxy. */
export function isLocal({ socket, headers }: IncomingMessage): boolean {
  if (forwarding.some((name) => headers[name] !== undefined)) return false
  const { remoteAddress } = socket
  return remoteAddress === undefined || /^(?:::ffff:)?127\.|^::1$/.test(remoteAddress)
}
