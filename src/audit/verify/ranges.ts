/** A set of whole numbers, kept as ranges. It is small as long as the numbers come nearly in order. */
export type NumberRange = readonly [from: number, to: number]

export class Ranges {
  readonly #stretches: [number, number][] = []

  add(number: number): void {
    const last = this.#stretches.at(-1)
    if (last && number === last[1] + 1) last[1] = number
    else if (!this.has(number)) this.#stretches.push([number, number])
  }

  has(number: number): boolean {
    return this.#stretches.some(([from, to]) => number >= from && number <= to)
  }

  get highest(): number {
    return this.#stretches.reduce((highest, [, to]) => Math.max(highest, to), 0)
  }

  /** The numbers that are missing between 1 and the highest. */
  gaps(): NumberRange[] {
    const found: NumberRange[] = []
    let next = 1
    for (const [from, to] of [...this.#stretches].sort(([a], [b]) => a - b)) {
      if (from > next) found.push([next, from - 1])
      next = Math.max(next, to + 1)
    }
    return found
  }
}
