/**
 * Opens connections of somebody without the token, in a process of its own: as many of one kind as wanted. A connection that is ended is opened
 * again. Prints "held" on standard output when the last one has been opened for the first time.
 */
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

export const kinds = [
  'idle',
  'slow heads',
  'a GET a minute',
  'pipelining',
  '1,500 header lines',
  'bodies',
] as const
export type StrangerKind = (typeof kinds)[number]

const get = 'GET /health HTTP/1.1\r\nhost: x\r\n\r\n'
const mebibyte = Buffer.alloc(1024 * 1024)

/** Writes the part `times` times, whenever the other side accepts more. */
function pour(socket: Socket, part: string | Buffer, times: number): void {
  let left = times
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      left--
      if (!socket.write(part)) return
    }
  }
  socket.on('drain', more)
  more()
}

const begin: Readonly<Record<StrangerKind, (socket: Socket) => void>> = {
  idle: () => {},
  'slow heads': (socket) => {
    socket.write('POST /receive HTTP/1.1\r\n')
    const dripping = setInterval(() => socket.write('a: b\r\n'), 1_000)
    socket.once('close', () => clearInterval(dripping))
  },
  'a GET a minute': (socket) => void socket.write(get),
  pipelining: (socket) => {
    // This stranger does not read the answers.
    socket.pause()
    pour(socket, get.repeat(100), 1_000)
  },
  '1,500 header lines': (socket) =>
    pour(socket, `GET /health HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(1_500)}\r\n`, 100),
  bodies: (socket) => {
    socket.write(`POST /receive HTTP/1.1\r\nhost: x\r\ncontent-length: ${64 * mebibyte.length}\r\n\r\n`)
    pour(socket, mebibyte, 64)
  },
}

function hold(port: number, kind: StrangerKind, onOpen: () => void): void {
  const socket = connect(port, '127.0.0.1')
  socket.once('connect', () => {
    onOpen()
    begin[kind](socket)
  })
  if (kind !== 'pipelining') socket.resume()
  socket.on('error', () => {})
  // The stranger comes back a moment later, as quickly as one on a network could.
  socket.once('close', () => setTimeout(hold, 100, port, kind, () => {}))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port, many, kind] = process.argv.slice(2)
  let left = Number(many)
  const opened = (): void => {
    if (--left === 0) process.stdout.write('held\n')
  }
  for (let n = Number(many); n > 0; n--) hold(Number(port), kind as StrangerKind, opened)
}
