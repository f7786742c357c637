/**
 * Writes a zip archive piece by piece, so that memory does not grow with the archive. Each entry is deflated in pieces that end
 * on a byte. The length and the CRC-32 follow the data; readers take them from the directory at the end of the archive.
 */
import { constants, crc32, deflateRawSync } from 'node:zlib'
import { CannotRun } from '../cli/io.ts'

type ZipEntry = { readonly name: Buffer; readonly at: number; crc: number; packed: number; size: number }

/** Bit 3: lengths follow the data. Bit 11: names are UTF-8. */
const flags = 0x0808
const version = 20
const deflated = 8
/** 1 January 1980, always the same, so that two runs write the same bytes. */
const date = 0x21
const largest = 0xffff_ffff

export class ZipWriter {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  readonly #entries: ZipEntry[] = []
  #open: ZipEntry | undefined
  #at = 0

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write
  }

  /** Begins an entry and ends the one before. */
  async begin(name: string): Promise<void> {
    await this.#finish()
    const entry = { name: Buffer.from(name), at: this.#at, crc: 0, packed: 0, size: 0 }
    this.#open = entry
    this.#entries.push(entry)
    const head = Buffer.alloc(30)
    head.writeUInt32LE(0x0403_4b50, 0)
    head.writeUInt16LE(version, 4)
    head.writeUInt16LE(flags, 6)
    head.writeUInt16LE(deflated, 8)
    head.writeUInt16LE(date, 12)
    head.writeUInt16LE(entry.name.length, 26)
    await this.#put(Buffer.concat([head, entry.name]))
  }

  async add(text: string): Promise<void> {
    const entry = this.#open as ZipEntry
    const bytes = Buffer.from(text)
    const packed = deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH })
    entry.crc = crc32(bytes, entry.crc)
    entry.size += bytes.length
    entry.packed += packed.length
    await this.#put(packed)
  }

  async end(): Promise<void> {
    await this.#finish()
    const start = this.#at
    for (const entry of this.#entries) await this.#put(directoryLine(entry))
    const end = Buffer.alloc(22)
    end.writeUInt32LE(0x0605_4b50, 0)
    end.writeUInt16LE(this.#entries.length, 8)
    end.writeUInt16LE(this.#entries.length, 10)
    end.writeUInt32LE(this.#at - start, 12)
    end.writeUInt32LE(start, 16)
    await this.#put(end)
  }

  async #finish(): Promise<void> {
    const entry = this.#open
    if (!entry) return
    this.#open = undefined
    const last = deflateRawSync(Buffer.alloc(0))
    entry.packed += last.length
    const tail = Buffer.alloc(16)
    tail.writeUInt32LE(0x0807_4b50, 0)
    tail.writeUInt32LE(entry.crc, 4)
    tail.writeUInt32LE(entry.packed, 8)
    if (entry.size > largest) throw tooLarge()
    tail.writeUInt32LE(entry.size, 12)
    await this.#put(Buffer.concat([last, tail]))
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#at += bytes.length
    if (this.#at > largest) throw tooLarge()
    await this.#write(bytes)
  }
}

const tooLarge = (): CannotRun =>
  new CannotRun('the table is larger than 4 GB; take one association, or --csv')

function directoryLine({ name, at, crc, packed, size }: ZipEntry): Buffer {
  const line = Buffer.alloc(46)
  line.writeUInt32LE(0x0201_4b50, 0)
  line.writeUInt16LE(version, 4)
  line.writeUInt16LE(version, 6)
  line.writeUInt16LE(flags, 8)
  line.writeUInt16LE(deflated, 10)
  line.writeUInt16LE(date, 14)
  line.writeUInt32LE(crc, 16)
  line.writeUInt32LE(packed, 20)
  line.writeUInt32LE(size, 24)
  line.writeUInt16LE(name.length, 28)
  line.writeUInt32LE(at, 42)
  return Buffer.concat([line, name])
}
