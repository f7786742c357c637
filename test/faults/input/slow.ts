/** Slow senders, of which some are in time and some are not. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { token } from '../../receiver.ts'
import { Answers, type PipelinedAnswer } from '../answers.ts'
import { judge } from '../oracle.ts'
import type { Random } from '../random.ts'
import { answerMs, patienceMs, tokenSha256 } from './settings.ts'
import type { Target } from './shoot.ts'

/** Sends a valid envelope in small parts. If it is complete in time, it must be stored. If not, it must be refused before 10 s are over. */
export async function slowSender({ port, tally }: Target, choose: Random, right: Buffer): Promise<void> {
  const body = Buffer.from(
    right.toString().replace(/"association_slug":"[^"]*"/, '"association_slug":"slow"'),
  )
  const verdict = judge(body, tokenSha256)
  const isEarly = choose.oneIn(2)
  const isHeadSlow = !isEarly && choose.oneIn(2)
  const head = Buffer.from(
    `POST /receive HTTP/1.1\r\nhost: r\r\nx-node-token: ${token}\r\ncontent-length: ${body.length}\r\n\r\n`,
  )
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => {})
  const answers = new Answers()
  const came: PipelinedAnswer[] = []
  socket.on('data', (chunk) => came.push(...answers.take(chunk)))
  const closed = once(socket, 'close').catch(() => {})
  await once(socket, 'connect')
  const began = performance.now()
  if (!isHeadSlow) socket.write(head)
  const sent = isHeadSlow ? head.subarray(0, -2) : isEarly ? body : body.subarray(0, -1)
  const drops = isEarly ? 2 + choose.below(12) : 60
  const size = Math.ceil(sent.length / drops)
  for (
    let at = 0;
    at < sent.length && came.length === 0 && performance.now() - began < answerMs;
    at += size
  ) {
    socket.write(sent.subarray(at, at + size))
    await delay(isEarly ? 20 + choose.below(400) : 200)
  }
  while (came.length === 0 && performance.now() - began < patienceMs) await delay(20)
  const ms = performance.now() - began
  tally.answered(isEarly ? 'slow, in time' : 'slow, too late', ms)
  const expected = isEarly ? (verdict.status === 'stored' ? [200, 201] : [verdict.status]) : [408]
  const status = came[0]?.status
  const what = isEarly ? 'in time' : isHeadSlow ? 'of a head' : 'of a body'
  if (status === undefined)
    tally.note(socket.closed ? 'closed' : 'hung', `no answer to a slow sender ${what}, ${Math.round(ms)} ms`)
  else if (!expected.includes(status))
    tally.note('slow', `${status} after ${Math.round(ms)} ms, not ${expected}`)
  if (status === 408 && (await Promise.race([closed, delay(2_000, true, { ref: false })])) === true)
    tally.note('slow', 'still open 2 s after 408')
  socket.destroy()
}
