/** Sends one shot over a connection of its own and checks the answers. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Answers, type PipelinedAnswer } from '../answers.ts'
import { shown } from './compare.ts'
import { patienceMs } from './settings.ts'
import type { Shot } from './shots.ts'
import type { Tally } from './tally.ts'

export type Target = { readonly port: number; readonly tally: Tally }

export async function shoot({ port, tally }: Target, { kind, parts, end, statuses }: Shot): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  socket.on('error', () => {})
  const answers = new Answers()
  const came: PipelinedAnswer[] = []
  const bytes = Buffer.concat(parts)
  const isHead = bytes.includes('HEAD ')
  const wrong = (why: string): void =>
    tally.note(why, `${kind}, ${end}: ${came.map(({ status }) => status)} to ${shown(bytes)}`)
  socket.on('data', (chunk) => {
    try {
      if (!isHead) came.push(...answers.take(chunk))
    } catch (error) {
      wrong((error as Error).message)
    }
  })
  const closed = once(socket, 'close').catch(() => {})
  await Promise.race([once(socket, 'connect').catch(() => {}), closed])
  const began = performance.now()
  for (const part of parts) {
    if (socket.writable) socket.write(part)
    if (parts.length > 1) await new Promise(setImmediate)
  }
  if (end === 'end') socket.end()
  else if (end === 'destroy') socket.destroySoon()
  else if (end === 'reset') socket.resetAndDestroy()
  const isLate = await Promise.race([closed, delay(patienceMs, true, { ref: false })])
  if (isLate === true) {
    wrong('hung')
    socket.destroy()
  }
  tally.answered(kind, performance.now() - began)
  const final = came.filter(({ status }) => status !== 100)
  // 501 answers another transfer coding, which is the sender's fault.
  if (final.some(({ status }) => status >= 500 && status !== 501)) wrong('5xx')
  // A reset may have lost an answer on its way. The answers that came must be right.
  if (
    statuses &&
    final.some(({ status }, n) => status !== statuses[n] && !(statuses[n] === 200 && status === 201))
  )
    wrong(`not ${statuses}`)
  if (statuses && end === 'wait' && final.length !== statuses.length) wrong(`not ${statuses.length} answers`)
}
