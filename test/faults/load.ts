/**
 * Senders that note every envelope and every answer, so that the disk can be compared with them afterwards.
 *
 * An append-only envelope that got no 2xx is sent again, as an addon's spool does. `sendUnacknowledged` sends the rest until every one of them is
 * acknowledged.
 */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { scn01, token, vs01 } from '../receiver.ts'
import { inParallel } from './part.ts'
import type { Random } from './random.ts'

export type Receipt = {
  readonly outcome: 'created' | 'replaced' | 'appended' | 'duplicate'
  readonly received_at: string
  readonly id: string
  readonly sequence: number
  readonly record_sha256: string
  readonly previous_sha256: string
}

type Problem = { readonly type: string; readonly status: number; readonly detail: string }

/** `body` is a receipt after a 2xx, else a problem document. */
export type PostAnswer = { readonly status: number; readonly body: Receipt & Problem }

/** One request. `endedAt` is Infinity when it may still take effect: no answer came, and nobody killed the receiver. */
export type Attempt = {
  /** The id of the request, with which the receiver logs it. Absent when there is no receiver. */
  readonly id?: string
  readonly sentAt: number
  readonly endedAt: number
  /** How long the sender waited. */
  readonly ms: number
  readonly answer: PostAnswer | undefined
}

/** An envelope that was sent once or more often. */
export type Sent = {
  readonly addon: 'vs01' | 'scn01'
  readonly slug: string
  readonly participant: string
  readonly envelope: Record<string, unknown>
  /** A text that this envelope contains and no other. */
  readonly mark: string
  readonly attempts: Attempt[]
}

/** By SPEC 2 every request is answered within 10 s. One second more is for a busy machine. */
const answerMs = 11_000
const connectionEnded = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE'])

/** Posts one envelope; undefined when the connection ended without an answer. Throws when no answer comes in time. */
async function post(
  url: string,
  agent: Agent,
  { id, body, patienceMs }: { readonly id: string; readonly body: string; readonly patienceMs: number },
): Promise<PostAnswer | undefined> {
  try {
    return await new Promise<PostAnswer>((resolve, reject) => {
      const headers = {
        'x-node-token': token,
        'x-request-id': id,
        'content-length': Buffer.byteLength(body),
      }
      const sending = request(`${url}/receive`, { method: 'POST', agent, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          if (response.complete) resolve({ status: response.statusCode as number, body: JSON.parse(text) })
          else reject(Object.assign(new Error('cut off'), { code: 'ECONNRESET' }))
        })
      })
      sending.setTimeout(patienceMs, () => sending.destroy(new Error('no answer in time')))
      sending.on('error', reject)
      sending.end(body)
    })
  } catch (error) {
    if (connectionEnded.has((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

export class Ledger {
  readonly sent: Sent[] = []
  readonly #agent = new Agent({ keepAlive: true })
  #posts = 0
  readonly #name: string
  /** Statuses that are permitted in addition to 2xx. */
  readonly #permitted: ReadonlySet<number>
  #complaints: string[] = []

  readonly #patienceMs: number

  /** Every mark contains `name`, because two ledgers may use one disk. A receiver that is stopped needs more patience. */
  constructor(name: string, permitted: readonly number[] = [503], patienceMs = answerMs) {
    this.#name = name
    this.#patienceMs = patienceMs
    this.#permitted = new Set(permitted)
  }

  /** The faults of answers since the last call. */
  takeComplaints(): readonly string[] {
    const complaints = this.#complaints
    this.#complaints = []
    return complaints
  }

  newScenario(slug: string, filler = ''): Sent {
    const mark = `${this.#name}.${this.sent.length}`
    const envelope = scn01({ association_slug: slug, narrative: `${mark} ${filler}` })
    return this.#keep({ addon: 'scn01', slug, participant: String(envelope.participant_id), envelope, mark })
  }

  newVitalSigns(slug: string, participant: string, filler = ''): Sent {
    const mark = `${this.#name}.${this.sent.length}`
    const fields = { mark, filler }
    const envelope = vs01({ association_slug: slug, participant_id: participant, fields })
    return this.#keep({ addon: 'vs01', slug, participant, envelope, mark })
  }

  #keep(fresh: Omit<Sent, 'attempts'>): Sent {
    const sent = { ...fresh, attempts: [] }
    this.sent.push(sent)
    return sent
  }

  async post(url: string, sent: Sent): Promise<PostAnswer | undefined> {
    const id = `post-${++this.#posts}`
    const body = JSON.stringify(sent.envelope)
    const sentAt = performance.now()
    try {
      const answer = await post(url, this.#agent, { id, body, patienceMs: this.#patienceMs })
      // A post that was answered with `storage-busy` may still be under way.
      const mayFollow = answer?.body.type?.endsWith(':storage-busy') === true
      const now = performance.now()
      const endedAt = mayFollow ? Number.POSITIVE_INFINITY : now
      sent.attempts.push({ id, sentAt, endedAt, ms: now - sentAt, answer })
      if (answer && !isStored(answer) && !this.#permitted.has(answer.status))
        this.#complaints.push(`${answer.status} ${answer.body.type}`)
      return answer
    } catch (error) {
      const ms = performance.now() - sentAt
      sent.attempts.push({ id, sentAt, endedAt: Number.POSITIVE_INFINITY, ms, answer: undefined })
      this.#complaints.push((error as Error).message)
      return undefined
    }
  }

  /** Sends every envelope that was not acknowledged, and one that was, once more. Each must get 2xx at the first try. */
  async sendUnacknowledged(url: string): Promise<void> {
    const left = this.sent.filter((one) => one.addon === 'scn01' && !isAcknowledged(one))
    const known = this.sent.findLast((one) => one.addon === 'scn01' && isAcknowledged(one))
    await inParallel(known ? [...left, known] : left, 32, async (one) => {
      const answer = await this.post(url, one)
      if (!answer || !isStored(answer))
        this.#complaints.push(`a retry after the fault got ${told(answer)}, not a receipt`)
    })
  }

  /** Sends the first post after a fault to each association that was written to. Each must get 2xx within 10 s. */
  async firstPosts(url: string): Promise<void> {
    const slugs = new Set(this.sent.filter(({ addon }) => addon === 'scn01').map(({ slug }) => slug))
    await inParallel([...slugs], 32, async (slug) => {
      const answer = await this.post(url, this.newScenario(slug))
      if (!answer || !isStored(answer))
        this.#complaints.push(`the first post after the fault got ${told(answer)}, not a receipt`)
    })
  }

  /** Forgets answers that may have been sent during this time, because a power cut cannot be timed more exactly. */
  forgetAnswersBetween(from: number, to: number): void {
    for (const { attempts } of this.sent) {
      for (const [index, attempt] of attempts.entries()) {
        const { sentAt, endedAt, answer } = attempt
        if (answer && endedAt > from && sentAt < to) attempts[index] = { ...attempt, answer: undefined }
      }
    }
  }

  /** Notes that posts without an answer may still take effect, because a database goes on with a statement when its receiver is gone. */
  leaveOpen(): void {
    for (const { attempts } of this.sent) {
      for (const [index, attempt] of attempts.entries())
        if (!attempt.answer) attempts[index] = { ...attempt, endedAt: Number.POSITIVE_INFINITY }
    }
  }

  close(): void {
    this.#agent.destroy()
  }
}

export function told(answer: PostAnswer | undefined): string {
  return answer ? `${answer.status} ${answer.body.type ?? answer.body.outcome}` : 'no answer'
}

export function isStored(answer: PostAnswer | undefined): boolean {
  return answer?.status === 200 || answer?.status === 201
}

export function receiptsOf(sent: Sent): Receipt[] {
  return sent.attempts.flatMap(({ answer }) => (answer && isStored(answer) ? [answer.body] : []))
}

function isAcknowledged(sent: Sent): boolean {
  return sent.attempts.some(({ answer }) => isStored(answer))
}

/** A Placekey for each number, all different. */
export function participantOf(number: number): string {
  return `SASE${number + 1}-22c-at-5sb-8hm-54v`
}

export type LoadOptions = {
  readonly ledger: Ledger
  readonly random: Random
  readonly senders: number
  readonly slugs: readonly string[]
  /** The URLs of the receivers; one is chosen for each request. */
  readonly urls: readonly string[]
  /** One in this many requests is an overwrite. */
  readonly overwriteOneIn: number
  readonly longestFiller: number
  /** The pause between two requests of a sender; by default none. */
  readonly pauseMs?: number
}

export type Load = { stop(): Promise<void> }

/** Starts senders that run until they are stopped. A sender that gets no answer waits a little and goes on. */
export function startLoad(options: LoadOptions): Load {
  const { ledger, random, slugs, urls } = options
  let isOver = false
  const next = (number: number): Sent => {
    const slug = random.of(slugs)
    const filler = 'f'.repeat(random.below(options.longestFiller))
    if (!random.oneIn(options.overwriteOneIn)) return ledger.newScenario(slug, filler)
    // The address is mostly the sender's own, and sometimes one to which the others write as well.
    return ledger.newVitalSigns(slug, participantOf(random.oneIn(3) ? 0 : number), filler)
  }
  const send = async (number: number): Promise<void> => {
    let again: Sent | undefined
    while (!isOver) {
      const sent = again ?? next(number)
      const answer = await ledger.post(random.of(urls), sent)
      const isRepeated = isStored(answer) ? random.oneIn(20) : random.oneIn(2)
      again = sent.addon === 'scn01' && isRepeated ? sent : undefined
      if (!isStored(answer)) await sleep(20)
      else if (options.pauseMs) await sleep(options.pauseMs)
    }
  }
  const senders = Array.from({ length: options.senders }, (_, number) => send(number))
  return {
    async stop() {
      isOver = true
      await Promise.all(senders)
    },
  }
}
