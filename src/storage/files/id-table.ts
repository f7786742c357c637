/**
 * Finds where a record begins by its id: a hash table with open addressing over one flat buffer, 16 bytes a slot.
 *
 * A slot holds the first 10 bytes of the id and 6 bytes of file offset. The caller confirms each hit by reading the line there, so
 * two ids with equal beginnings cost a read and never a wrong answer. Between growths the table is 50 to 75 % full: 21 to 32 bytes
 * a record, where a Set of hex strings takes 102.
 */
const SLOT = 4 // 32-bit words a slot: id 0-3, id 4-7, id 8-9 with the upper 16 offset bits, lower 32 offset bits
const _BYTES = SLOT * Uint32Array.BYTES_PER_ELEMENT
const FULLEST = 0.75
const GROWTH = 1.5

export class IdTable {
  #words = new Uint32Array(16 * SLOT)
  #slots = 16
  #count = 0

  get count(): number {
    return this.#count
  }

  /** `id` is 64 lower-case hex digits, `offset` below 2^48 and above 0. */
  add(id: string, offset: number): void {
    if (this.#count >= this.#slots * FULLEST) this.#grow()
    this.#place(word(id, 0), word(id, 8), half(id) | Math.floor(offset / 2 ** 32), offset >>> 0)
    this.#count++
  }

  /** Offsets of the records whose ids begin with the same 80 bits: none, one, or more in the unlikely case of a collision. */
  *find(id: string): Generator<number> {
    const first = word(id, 0)
    const second = word(id, 8)
    const third = half(id)
    for (let slot = first % this.#slots; ; slot = (slot + 1) % this.#slots) {
      const at = slot * SLOT
      const high = this.#words[at + 2] as number
      const low = this.#words[at + 3] as number
      if (low === 0 && (high & 0xffff) === 0) return
      const same = this.#words[at] === first && this.#words[at + 1] === second
      if (same && (high & 0xffff0000) >>> 0 === third) yield (high & 0xffff) * 2 ** 32 + low
    }
  }

  #place(first: number, second: number, third: number, low: number): void {
    let slot = first % this.#slots
    while (this.#words[slot * SLOT + 3] !== 0 || ((this.#words[slot * SLOT + 2] as number) & 0xffff) !== 0) {
      slot = (slot + 1) % this.#slots
    }
    const at = slot * SLOT
    this.#words[at] = first
    this.#words[at + 1] = second
    this.#words[at + 2] = third
    this.#words[at + 3] = low
  }

  #grow(): void {
    const old = this.#words
    this.#slots = Math.ceil(this.#slots * GROWTH)
    this.#words = new Uint32Array(this.#slots * SLOT)
    for (let at = 0; at < old.length; at += SLOT) {
      const third = old[at + 2] as number
      const low = old[at + 3] as number
      if (low === 0 && (third & 0xffff) === 0) continue
      this.#place(old[at] as number, old[at + 1] as number, third, low)
    }
  }
}

function word(id: string, from: number): number {
  return Number.parseInt(id.slice(from, from + 8), 16)
}

function half(id: string): number {
  return (Number.parseInt(id.slice(16, 20), 16) << 16) >>> 0
}
