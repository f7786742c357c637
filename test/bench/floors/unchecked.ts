/**
 * Shows how fast HTTP and the disk alone are in one process. The same Hono server parses the body as JSON and appends it as it came to the
 * file of its association, with one write and one fdatasync for all requests that wait. Then it answers 201.
 * No token, no validation beyond JSON, no canonical form, no chain, no duplicates, no lock, no log line.
 */
import { fdatasync, openSync } from 'node:fs'
import { join } from 'node:path'
import { Hono } from 'hono'
import { writeAllSync } from '../../../src/storage/files/durable-file.ts'
import { listen } from './listen.ts'

type WaitingBody = { readonly bytes: Buffer; readonly answer: (error: Error | null) => void }

class Appended {
  readonly #file: number
  #end = 0
  #queue: WaitingBody[] = []
  #isBusy = false

  constructor(path: string) {
    this.#file = openSync(path, 'w')
  }

  put(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const answer = (error: Error | null): void => (error ? reject(error) : resolve())
      this.#queue.push({ bytes: Buffer.from(text), answer })
      if (this.#isBusy) return
      this.#isBusy = true
      // Requests that arrived in the same packets join this batch.
      setImmediate(() => this.#write())
    })
  }

  #write(): void {
    const batch = this.#queue
    this.#queue = []
    const bytes = Buffer.concat(batch.map((waiting) => waiting.bytes))
    writeAllSync(this.#file, bytes, this.#end)
    this.#end += bytes.length
    fdatasync(this.#file, (error) => {
      for (const { answer } of batch) answer(error)
      if (this.#queue.length > 0) this.#write()
      else this.#isBusy = false
    })
  }
}

const files = new Map<string, Appended>()

function fileOf(association: string): Appended {
  const file = files.get(association) ?? new Appended(join(process.env.DATA_DIR as string, association))
  files.set(association, file)
  return file
}

const app = new Hono()
app.post('/receive', async (c) => {
  const text = await c.req.text()
  const { association_slug } = JSON.parse(text) as Record<string, unknown>
  await fileOf(String(association_slug)).put(text)
  return c.json({ status: 'stored' }, 201)
})

listen(app)
