/** The statistics of a run. */

/** The smallest value that at least `share` of all values do not exceed (nearest rank). Sorts in place. */
export function percentile(values: Float64Array, share: number): number {
  if (values.length === 0) return Number.NaN
  values.sort()
  const rank = Math.ceil(share * values.length)
  return values[Math.min(values.length, Math.max(rank, 1)) - 1] as number
}

/** The same percentile, without sorting the values in place. */
export function quantile(values: readonly number[], share: number): number {
  return percentile(Float64Array.from(values), share)
}

/** The median. For an even number of values it is the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
}

/**
 * The median of the ratios of all rounds, not the ratio of the medians, because a disturbance in a round slows both sides of it. Rounds that
 * one side does not have are left out. NaN when no round is left.
 */
export function medianRatio(of: readonly number[], to: readonly number[]): number {
  const rounds = Math.min(of.length, to.length)
  return median(Array.from({ length: rounds }, (_, round) => (of[round] as number) / (to[round] as number)))
}
