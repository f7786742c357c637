/** Senders that post until they are told to stop, and count only a receipt as success. */
import { Agent, request } from 'node:http'
import { scn01 } from '../envelopes.ts'

export type Senders = {
  /** The number of posts that were answered so far. */
  readonly count: () => number
  /** Stops and waits for the last answers. `failed` holds the reasons of at most 20 failures. */
  end(): Promise<{
    readonly stored: number
    readonly failed: readonly string[]
    /** The receipts, with the time at which each arrived. */
    readonly receipts: readonly { readonly at: string; readonly body: string }[]
  }>
}

type Options = {
  /** The URL of the receiver, or the path of its unix socket. */
  readonly url: string
  /** Called for each post. */
  readonly token: () => string
  readonly senders: number
  readonly keepAlive: boolean
  /** Whether to keep the receipts for a comparison. */
  readonly keepReceipts?: boolean
}

export function send({ url, token, senders, keepAlive, keepReceipts = false }: Options): Senders {
  const agent = new Agent({ keepAlive, maxSockets: senders })
  const run = crypto.randomUUID()
  const { hostname, port } = new URL(url, 'http://localhost')
  const where = { path: '/receive', ...(url.startsWith('/') ? { socketPath: url } : { hostname, port }) }
  const failed: string[] = []
  const receipts: { at: string; body: string }[] = []
  let stored = 0
  let ended = false

  const post = (body: string): Promise<void> =>
    new Promise((resolve) => {
      const fail = (why: string): void => {
        if (failed.length < 20) failed.push(why)
        resolve()
      }
      const headers = { 'x-node-token': token(), 'content-length': Buffer.byteLength(body) }
      const options = { method: 'POST', agent, headers, ...where }
      const sending = request(options, (response) => {
        let text = ''
        response.on('data', (chunk) => (text += chunk))
        response.on('error', (error) => fail(String(error)))
        response.on('end', () => {
          if (response.statusCode !== 201) return fail(`${response.statusCode} ${text}`)
          stored++
          if (keepReceipts) receipts.push({ at: new Date().toISOString(), body: text })
          resolve()
        })
      })
      sending.on('error', (error: NodeJS.ErrnoException) => fail(`${error.code} ${error.message}`))
      sending.end(body)
    })

  const sender = async (_: unknown, n: number): Promise<void> => {
    for (let round = 0; !ended; round++) {
      await post(
        JSON.stringify(scn01({ association_slug: `load-${n % 4}`, narrative: `${run} ${n} ${round}` })),
      )
    }
  }
  const all = Promise.all(Array.from({ length: senders }, sender))
  return {
    count: () => stored + failed.length,
    async end() {
      ended = true
      await all
      agent.destroy()
      return { stored, failed, receipts }
    },
  }
}
