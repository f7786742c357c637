/** One HTTP/1.1 connection on a raw socket. It sends one request at a time and reads each answer to its last byte. */
import { connect, type Socket } from 'node:net'

export type Reply = { readonly status: number; readonly body: string }

export type Connection = {
  /** Sends a request. `bytes` must not change until the answer is there. */
  send(bytes: Buffer): void
  end(): void
}

export type Listener = {
  /** Called when the connection is open and the first request may be sent. */
  readonly ready: (connection: Connection) => void
  readonly reply: (reply: Reply, connection: Connection) => void
  /** Called when the other side has ended the connection, or when it could not be opened. */
  readonly gone: (code: string) => void
}

const blankLine = '\r\n\r\n'

export function openConnection(port: number, listener: Listener, localAddress?: string): Connection {
  const socket: Socket = connect({
    host: '127.0.0.1',
    port,
    noDelay: true,
    ...(localAddress && { localAddress }),
  })
  let held: Buffer | undefined
  let code = 'closed'
  let ended = false
  const connection: Connection = {
    send: (bytes) => void socket.write(bytes),
    end() {
      ended = true
      socket.destroy()
    },
  }
  socket.on('connect', () => listener.ready(connection))
  socket.on('data', (chunk: Buffer) => {
    const bytes = held ? Buffer.concat([held, chunk]) : chunk
    const whole = replyIn(bytes)
    held = whole ? undefined : bytes
    if (whole) listener.reply(whole, connection)
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? error.message
  })
  socket.on('close', () => {
    if (!ended) listener.gone(code)
  })
  return connection
}

/** Sends one request on a connection of its own, and gives the answer and the time that all of it took. Status 0 means that no answer came. */
export function exchange(port: number, bytes: Buffer): Promise<Reply & { readonly ms: number }> {
  const began = performance.now()
  return new Promise((resolve) => {
    const end = (reply: Reply): void => resolve({ ...reply, ms: performance.now() - began })
    openConnection(port, {
      ready: (connection) => connection.send(bytes),
      reply(reply, connection) {
        connection.end()
        end(reply)
      },
      gone: (code) => end({ status: 0, body: code }),
    })
  })
}

/** The answer, once all of it is there. Only answers with a Content-Length are understood; all servers of the bench send it. */
export function replyIn(bytes: Buffer): Reply | undefined {
  const text = bytes.toString('latin1')
  const headEnd = text.indexOf(blankLine)
  if (headEnd === -1) return undefined
  const head = text.slice(0, headEnd)
  const declared = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (declared === undefined) throw new Error('an answer came without Content-Length')
  const start = headEnd + blankLine.length
  const end = start + Number(declared)
  if (text.length < end) return undefined
  if (text.length > end) throw new Error('an answer is longer than it says')
  return { status: Number(text.slice(9, 12)), body: text.slice(start, end) }
}
