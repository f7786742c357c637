/** Reads SCALE, the encoding of Substrate, as far as extrinsics need it: fixed bytes, compact integers, byte strings. */

/** The bytes do not follow the format. `attempt` catches this. */
export class Malformed extends Error {
  override readonly name = 'Malformed'
}

export type Reader = {
  take(count: number): Uint8Array
  byte(): number
  compact(): bigint
  /** Reads a byte string: its length as a compact integer, then its bytes. */
  bytes(): Uint8Array
  rest(): Uint8Array
  at(): number
  /** The bytes from an earlier place to this one. */
  since(start: number): Uint8Array
  end(): void
}

export function reader(source: Uint8Array): Reader {
  let at = 0
  const take = (count: number): Uint8Array => {
    if (count > source.length - at) throw new Malformed('the bytes end too early')
    at += count
    return source.subarray(at - count, at)
  }
  const byte = (): number => take(1)[0] as number
  const compact = (): bigint => {
    const first = byte()
    const mode = first & 3
    if (mode === 0) return BigInt(first >> 2)
    if (mode === 3) return littleEndian(take((first >> 2) + 4))
    return littleEndian([first, ...take(mode === 1 ? 1 : 3)]) >> 2n
  }
  return {
    take,
    byte,
    compact,
    bytes: () => take(Number(compact())),
    rest: () => take(source.length - at),
    at: () => at,
    since: (start) => source.subarray(start, at),
    end: () => {
      if (at !== source.length) throw new Malformed('there are bytes after the end')
    },
  }
}

function littleEndian(bytes: Iterable<number>): bigint {
  return [...bytes].reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

/** The result of a decoding; undefined when the bytes do not have that form. */
export function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}
