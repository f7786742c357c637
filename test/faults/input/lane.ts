/** Sends posts in a pipeline on one connection that is kept alive. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Answers, type PipelinedAnswer } from '../answers.ts'
import { type Accepted, compare, shown } from './compare.ts'
import type { Post } from './post.ts'
import { patienceMs } from './settings.ts'
import { cutKind, type Tally } from './tally.ts'

/** The number of posts in flight on one connection. */
export const depth = 32
/**
 * Statuses of requests that are refused before the body is read. If the body has not come half a second later, for example because one side
 * stalled, the receiver ends the connection, and answers that this side has not read by then are lost.
 */
const beforeBody: ReadonlySet<number> = new Set([401, 404, 405, 413, 415])
const isRefusedBeforeBody = ({ post: { expected } }: { readonly post: Post }): boolean =>
  'status' in expected && beforeBody.has(expected.status)

export class Lane {
  readonly socket: Socket
  readonly #answers = new Answers()
  #came: PipelinedAnswer[] = []
  #news: () => void = () => {}
  #isClosed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#came.push(...this.#answers.take(chunk))
      this.#news()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
      this.#news()
    })
  }

  static async to(port: number): Promise<Lane> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return new Lane(socket)
  }

  /** Sends posts and reads the answers. Returns this lane if the connection can be used again. */
  async send(
    count: number,
    post: (at: number) => Post,
    tally: Tally,
    accepted: Accepted[],
  ): Promise<Lane | undefined> {
    const waiting: { readonly post: Post; readonly at: number }[] = []
    const failed = (what: string): undefined => {
      tally.note(what, `${waiting.length} unanswered, first: ${shown(waiting[0]!.post.bytes)}`)
      this.socket.destroy()
    }
    const cut = (): undefined => {
      if (!beforeBody.has(lastStatus) && !waiting.some(isRefusedBeforeBody)) return failed('closed early')
      tally.answered(cutKind, 0)
      return end()
    }
    /** Ends the lane. Posts without an answer may have been stored, so they count as accepted without an answer. */
    const end = (): undefined => {
      for (const { post } of waiting) {
        if ('verdict' in post.expected) accepted.push({ verdict: post.expected.verdict })
      }
      this.socket.destroy()
    }
    let lastStatus = 0
    let sent = 0
    while (sent < count || waiting.length > 0) {
      const fresh: Buffer[] = []
      while (sent < count && waiting.length < depth) {
        const next = post(sent++)
        waiting.push({ post: next, at: performance.now() })
        fresh.push(next.bytes)
      }
      if (fresh.length > 0) this.socket.write(Buffer.concat(fresh))
      for (const answer of this.#came.splice(0)) {
        if (answer.status === 100) continue
        const first = waiting.shift()
        if (!first) return failed('an answer to nothing')
        compare(answer, first.post.bytes, first.post.expected, tally, accepted)
        tally.answered('pipelined', performance.now() - first.at)
        lastStatus = answer.status
        if (!answer.closes) continue
        // An answer that came before the whole body says that it is the last one.
        if (!beforeBody.has(answer.status) && (sent < count || waiting.length > 0))
          tally.note('closed early', `after ${shown(first.post.bytes)}`)
        return end()
      }
      if (waiting.length === 0 || (sent < count && waiting.length < depth)) continue
      if (this.#isClosed) return cut()
      if (await this.#isSilent()) return failed('hung')
    }
    return this
  }

  /** Waits for bytes or the end of the connection; true when nothing came for as long as an answer may take. */
  #isSilent(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patienceMs, true)
      this.#news = () => {
        clearTimeout(timer)
        resolve(false)
      }
    })
  }
}
