/** The same hash under two records: one payment that was named twice. About 150 bytes of memory for each hash seen. */
type Place = string

export type Duplicates = {
  /** The place that had this hash first, or undefined when it is new. */
  firstUse(hash: string, place: Place): Place | undefined
}

export function duplicates(): Duplicates {
  const seen = new Map<string, Place>()
  return {
    firstUse: (hash, place) => {
      const first = seen.get(hash)
      if (first === undefined) seen.set(hash, place)
      return first
    },
  }
}
