/** Refuses requests for their head alone, before the path is looked at (RFC 9112, SPEC 2). */
import type { IncomingMessage } from 'node:http'
import { type Problem, problem } from '../http/problem.ts'
import { tokenTwice } from '../http/token.ts'

/** Node keeps at most so many lines. A proxy adds about a dozen to the lines of its sender. */
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
  // HTTP/1.0 has no Host header, and simple checks of load balancers use HTTP/1.0
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

/** Headers that a proxy adds (RFC 9110, 7.6.3): with them, the sender is not the one that connects. */
const forwarding = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via']

/** Whether the request comes from this machine itself: over the loopback interface or a unix socket, and through no proxy. */
export function isLocal({ socket, headers }: IncomingMessage): boolean {
  if (forwarding.some((name) => headers[name] !== undefined)) return false
  const { remoteAddress } = socket
  return remoteAddress === undefined || /^(?:::ffff:)?127\.|^::1$/.test(remoteAddress)
}
