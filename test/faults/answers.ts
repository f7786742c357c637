/** Reads the answers on one connection. To be fast, it reads only what the part `input` checks. */
export type PipelinedAnswer = { readonly status: number; readonly closes: boolean; readonly body: string }

/** Takes bytes and gives whole answers. An answer that is not HTTP/1.1 with a length is an error. */
export class Answers {
  #bytes: Buffer = Buffer.alloc(0)

  take(chunk: Buffer): PipelinedAnswer[] {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const answers: PipelinedAnswer[] = []
    for (;;) {
      const end = this.#bytes.indexOf('\r\n\r\n')
      if (end < 0) return answers
      const head = this.#bytes.toString('latin1', 0, end)
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
      if (!(status >= 100)) throw new Error(`not an answer: ${head.slice(0, 200)}`)
      const length = status < 200 ? 0 : Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1])
      if (!(length >= 0)) throw new Error(`an answer without a length: ${head.slice(0, 200)}`)
      const whole = end + 4 + length
      if (this.#bytes.length < whole) return answers
      const body = this.#bytes.toString('utf8', end + 4, whole)
      this.#bytes = this.#bytes.subarray(whole)
      answers.push({ status, closes: /\r\nconnection: close/i.test(head), body })
    }
  }
}
