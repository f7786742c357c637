/** A small seeded generator (mulberry32), so that a fault run can be repeated from its seed. */
export type Random = {
  /** A whole number from 0 to `below` - 1. */
  below(below: number): number
  /** One of the items. */
  of<T>(items: readonly T[]): T
  /** True in one of `n` cases. */
  oneIn(n: number): boolean
  bytes(length: number): Buffer
}

export function random(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (limit: number): number => Math.floor((next() / 2 ** 32) * limit)
  return {
    below,
    of: (items) => items[below(items.length)] as (typeof items)[number],
    oneIn: (n) => below(n) === 0,
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  }
}
