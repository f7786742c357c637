/** A tar.gz that depends on nothing but its entries and one time: sorted, one owner, no name and no time in the gzip head. */
import { gzipSync } from 'node:zlib'

export type Entry = { readonly path: string; readonly bytes: Uint8Array; readonly executable: boolean }

const block = 512
/** The byte of the gzip head that names the operating system: unknown. */
const systemAt = 9
const unknownSystem = 255

export function tarGz(entries: readonly Entry[], time: Date): Buffer {
  const seconds = Math.floor(time.getTime() / 1000)
  const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const parts = sorted.flatMap(({ path, bytes, executable }) => [
    header(path, bytes.length, executable ? 0o755 : 0o644, seconds),
    bytes,
    Buffer.alloc((block - (bytes.length % block)) % block),
  ])
  const zipped = gzipSync(Buffer.concat([...parts, Buffer.alloc(2 * block)]), { level: 9 })
  zipped[systemAt] = unknownSystem
  return zipped
}

/** ustar (POSIX.1-1988). Directories have no entries: tar makes them. */
function header(path: string, size: number, mode: number, seconds: number): Buffer {
  const head = Buffer.alloc(block)
  const [prefix, name] = split(path)
  const octal = (value: number, at: number, length: number): void => {
    head.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1')
  }
  head.write(name, 0)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(seconds, 136, 12)
  head.fill(' ', 148, 156)
  head.write('0ustar\0' + '00', 156, 'latin1')
  head.write('root', 265)
  head.write('root', 297)
  head.write(prefix, 345)
  const sum = head.reduce((total, byte) => total + byte, 0)
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return head
}

function split(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= 100) return ['', path]
  const cut = path.indexOf('/', path.length - 101)
  const [prefix, name] = [path.slice(0, cut), path.slice(cut + 1)]
  if (cut < 1 || Buffer.byteLength(prefix) > 155) throw new Error(`this path is too long for tar: ${path}`)
  return [prefix, name]
}
