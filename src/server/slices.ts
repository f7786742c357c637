/**
 * Hands the bytes of a stranger to the HTTP parser in small slices.
 *
 * Node hands each read of up to 64 KiB to the parser as a whole, and the parser makes requests of all bytes before the receiver
 * can stop it. A stranger who pipelines can make 1,700 requests with one read, which costs 8 MB of memory and 30 ms of the only
 * thread. With slices one request is made, and the connection is held before the next one.
 *
 *   1. Bytes reach the parser in the order in which they came, each once, until the connection is held.
 *   2. At most `sliceBytes` of a stranger reach the parser at once, never more than one head, and other work gets its turn in between.
 *   3. The bytes of a held connection are dropped. The receiver stops reading after a given number of them. Until then it notices when
 *      the sender ends its side.
 *   4. From the request with a valid token on, bytes go to the parser directly.
 */
import type { Socket } from 'node:net'

const sliceBytes = 16_384
const headEnd = '\r\n\r\n'

export class Slices {
  readonly #socket: Socket
  readonly #push: Socket['push']
  readonly #read: Socket['_read']
  #rest: Buffer | undefined
  #isWhole = false
  #isStopped = false
  /** How many bytes of a held connection are still read. */
  #left = 0
  #ended = (): void => {}

  /** To be constructed when Node's HTTP server has taken over the socket. */
  constructor(socket: Socket) {
    this.#socket = socket
    this.#push = socket.push
    this.#read = socket._read
    this.#stepIn()
    takeFromNative(socket)
  }

  /** Rule 4. */
  passWhole(): void {
    this.#isWhole = true
    if (!this.#rest) this.#undo()
  }

  /** Rule 3. `ended` is called when the sender ends its side before more than `most` bytes have come. */
  stop(most: number, ended: () => void): void {
    this.#isStopped = true
    this.#left = most - (this.#rest?.length ?? 0)
    this.#rest = undefined
    this.#ended = ended
    this.#stepIn()
    // The parser may have stopped the reading, so it is started again.
    this.#socket._read(0)
  }

  #stepIn(): void {
    const socket = this.#socket
    socket.push = (chunk: unknown) => this.#take(chunk)
    socket._read = (size) => {
      if (this.#rest) this.#passLater()
      else if (!this.#isStopped || this.#left > 0) this.#read.call(socket, size)
    }
  }

  /** Takes a chunk in place of the parser. Node goes on reading when this returns true. */
  #take(chunk: unknown): boolean {
    if (this.#isStopped) return this.#drop(chunk)
    // null is the end of the input, which comes only when no bytes are left, because Node does not read before
    if (!(chunk instanceof Uint8Array)) return this.#push.call(this.#socket, chunk)
    this.#rest = chunk as Buffer
    return this.#pass()
  }

  #drop(chunk: unknown): boolean {
    if (chunk instanceof Uint8Array) this.#left -= chunk.length
    else this.#ended()
    return this.#left > 0
  }

  #passLater(): void {
    if (this.#isWhole) this.#pass()
    else setImmediate(() => this.#pass())
  }

  #pass(): boolean {
    const rest = this.#rest
    if (!rest || this.#socket.destroyed) return false
    const end = this.#isWhole ? rest.length : sliceEnd(rest)
    this.#rest = end < rest.length ? rest.subarray(end) : undefined
    const wantsMore = this.#push.call(this.#socket, rest.subarray(0, end))
    if (this.#rest) return false
    if (this.#isWhole && !this.#isStopped) this.#undo()
    return wantsMore
  }

  #undo(): void {
    const own = this.#socket as Partial<Pick<Socket, 'push' | '_read'>>
    delete own.push
    delete own._read
  }
}

function sliceEnd(rest: Buffer): number {
  const slice = rest.subarray(0, sliceBytes)
  const at = slice.indexOf(headEnd)
  return at < 0 ? slice.length : at + headEnd.length
}

/** Makes the bytes come through `push`: until there is a listener for data, Node's parser takes them from the native handle. */
function takeFromNative(socket: Socket): void {
  const listener = (): void => {}
  socket.on('data', listener).off('data', listener)
}
