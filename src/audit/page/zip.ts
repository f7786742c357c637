/**
 * Reads a zip that a file manager made, without unpacking it to disk: the central directory first, then each file as a stream.
 *
 * Invariants
 *   1. A name that could mean two places (absolute, with `..`, with a backslash, twice in the zip) refuses the whole zip.
 *   2. A stream that ends without an error gave exactly the bytes whose size and CRC-32 the directory of the zip names.
 *   3. No file is left out without a word: encrypted files and unknown methods refuse the whole zip.
 *
 * Not checked: links and modes, which a zip may carry and this reader ignores. zip64 is read; a zip in several parts is not.
 */

export type ZipFile = {
  readonly name: string
  readonly size: number
  /** The unpacked bytes of the file. Each call begins at the start. */
  stream(): Promise<ReadableStream<Uint8Array>>
}

/** The zip cannot be read. The message is for the person who opened it. */
export class ZipFault extends Error {}

type ZipMember = {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly packed: number
  readonly size: number
  readonly offset: number
}

const endSignature = 0x06054b50
const end64Signature = 0x06064b50
const locator64Signature = 0x07064b50
const centralSignature = 0x02014b50
const localSignature = 0x04034b50
const endLength = 22
const locatorLength = 20
const end64Length = 56
const longestComment = 0xffff
const unknown16 = 0xffff
const unknown32 = 0xffffffff
const isEncrypted = 1
const isUtf8 = 0x800
const stored = 0
const deflated = 8

/** The files of a zip, folders left out. Throws a ZipFault when the zip cannot be read as a whole. */
export async function readZip(zip: Blob): Promise<readonly ZipFile[]> {
  const { count, offset, size } = await directoryOf(zip)
  const entries = entriesOf(await viewOf(zip, offset, size), count)
  const names = new Set<string>()
  for (const { name } of entries) {
    if (names.has(name))
      throw new ZipFault('The zip holds two files of one name. Unpack it and open the folder.')
    names.add(name)
  }
  return entries
    .filter(({ name }) => !name.endsWith('/'))
    .map((entry) => ({ name: entry.name, size: entry.size, stream: () => unpacked(zip, entry) }))
}

async function viewOf(zip: Blob, from: number, length: number): Promise<DataView> {
  if (from < 0 || from + length > zip.size) throw new ZipFault('The zip is cut short. Copy it once more.')
  return new DataView(await zip.slice(from, from + length).arrayBuffer())
}

/** Finds the central directory. */
async function directoryOf(zip: Blob): Promise<{ count: number; offset: number; size: number }> {
  const length = Math.min(zip.size, endLength + longestComment)
  const tail = await viewOf(zip, zip.size - length, length)
  let at = length - endLength
  while (at >= 0 && !isEndRecord(tail, at)) at--
  if (at < 0) throw new ZipFault('This is no zip, or its end is missing. Copy it once more.')
  const found = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  }
  const isZip64 = found.count === unknown16 || found.size === unknown32 || found.offset === unknown32
  return isZip64 ? directory64(zip, zip.size - length + at) : found
}

/** Whether this is the end record: its comment must end where the zip ends, so that a signature inside a comment does not count. */
function isEndRecord(tail: DataView, at: number): boolean {
  return (
    tail.getUint32(at, true) === endSignature &&
    at + endLength + tail.getUint16(at + 20, true) === tail.byteLength
  )
}

async function directory64(zip: Blob, end: number): Promise<{ count: number; offset: number; size: number }> {
  const locator = await viewOf(zip, end - locatorLength, locatorLength)
  if (locator.getUint32(0, true) !== locator64Signature) throw damaged()
  const record = await viewOf(zip, long(locator, 8), end64Length)
  if (record.getUint32(0, true) !== end64Signature) throw damaged()
  return { count: long(record, 32), size: long(record, 40), offset: long(record, 48) }
}

function damaged(): ZipFault {
  return new ZipFault('The directory of the zip is damaged. Copy the zip once more.')
}

function long(view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true))
  if (!Number.isSafeInteger(value)) throw damaged()
  return value
}

function entriesOf(view: DataView, count: number): ZipMember[] {
  const entries: ZipMember[] = []
  try {
    let at = 0
    while (entries.length < count) {
      if (view.getUint32(at, true) !== centralSignature) throw damaged()
      entries.push(entryAt(view, at))
      at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
    }
    if (at !== view.byteLength) throw damaged()
  } catch (error) {
    // a RangeError means that a length in the directory points behind its end
    throw error instanceof RangeError ? damaged() : error
  }
  return entries
}

function entryAt(view: DataView, at: number): ZipMember {
  const flags = view.getUint16(at + 8, true)
  const method = view.getUint16(at + 10, true)
  if (flags & isEncrypted) throw new ZipFault('The zip is encrypted. Unpack it and open the folder.')
  if (method !== stored && method !== deflated) {
    throw new ZipFault(
      'The zip is packed by a method that browsers do not know. Unpack it and open the folder.',
    )
  }
  const nameLength = view.getUint16(at + 28, true)
  const name = nameOf(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength), flags)
  const extra = new DataView(
    view.buffer,
    view.byteOffset + at + 46 + nameLength,
    view.getUint16(at + 30, true),
  )
  const wide = wideFields(extra)
  /** A number of 32 bits, or the next number of the zip64 field if it needs more bits. */
  const either = (value: number): number => (value === unknown32 ? wide() : value)
  // the zip64 field holds only the numbers that are needed, in this order
  const size = either(view.getUint32(at + 24, true))
  const packed = either(view.getUint32(at + 20, true))
  const offset = either(view.getUint32(at + 42, true))
  return { name, method, crc: view.getUint32(at + 16, true), packed, size, offset }
}

/** Gives the numbers of the zip64 field one after the other. */
function wideFields(extra: DataView): () => number {
  let at = 0
  while (at + 4 <= extra.byteLength && extra.getUint16(at, true) !== 1)
    at += 4 + extra.getUint16(at + 2, true)
  at += 4
  return () => {
    const value = long(extra, at)
    at += 8
    return value
  }
}

function nameOf(bytes: Uint8Array, flags: number): string {
  const isAscii = bytes.every((byte) => byte < 128)
  if (!isAscii && !(flags & isUtf8)) {
    throw new ZipFault('A file name in the zip is in an unknown encoding. Unpack it and open the folder.')
  }
  const name = new TextDecoder().decode(bytes)
  const parts = name.split('/')
  if (/[\\\0]|^[a-z]:/i.test(name) || parts.includes('..') || parts.includes('.') || parts[0] === '') {
    throw new ZipFault('A file name in the zip leads out of its folder. Do not unpack it; ask who made it.')
  }
  return name
}

async function unpacked(zip: Blob, entry: ZipMember): Promise<ReadableStream<Uint8Array>> {
  const local = await viewOf(zip, entry.offset, 30)
  if (local.getUint32(0, true) !== localSignature) throw damaged()
  const start = entry.offset + 30 + local.getUint16(26, true) + local.getUint16(28, true)
  if (start + entry.packed > zip.size) throw damaged()
  const packed = zip.slice(start, start + entry.packed).stream() as ReadableStream<Uint8Array<ArrayBuffer>>
  const bytes = entry.method === stored ? packed : packed.pipeThrough(new DecompressionStream('deflate-raw'))
  return bytes.pipeThrough(checked(entry))
}

/** Passes bytes on, and fails when their size or CRC-32 is not the one in the directory of the zip. */
function checked(entry: ZipMember): TransformStream<Uint8Array, Uint8Array> {
  const fault = (): ZipFault => new ZipFault('A file in the zip is damaged. Copy the zip once more.')
  let crc = 0
  let length = 0
  return new TransformStream({
    transform(bytes, controller) {
      crc = crc32(bytes, crc)
      length += bytes.length
      // checked before the end, so that a small zip that unpacks to too much is given up at once
      if (length > entry.size) throw fault()
      controller.enqueue(bytes)
    },
    flush() {
      if (length !== entry.size || crc !== entry.crc) throw fault()
    },
  })
}

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

function crc32(bytes: Uint8Array, before: number): number {
  let crc = ~before
  for (let at = 0; at < bytes.length; at++) crc = (crc >>> 8) ^ (table[(crc ^ bytes[at]!) & 255] as number)
  return ~crc >>> 0
}
