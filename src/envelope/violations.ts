/**
 * Pointers into the sent document and lists of violations. Both are bounded, because a body of 1 MB can hold 100,000 bad numbers
 * below one very long key, and an answer that named all of them would have gigabytes.
 */
import type { FieldError } from '../../contracts/contract.ts'

const maxEntries = 1000
const maxPointer = 1024
const maxPointerText = 64 * 1024

/** The RFC 6901 pointer to a place, or to the nearest ancestor whose pointer fits into 1,024 characters. */
export function pointer(path: readonly (string | number)[]): string {
  let text = ''
  for (const segment of path) {
    const name = String(segment)
    // checked before the escaping, because the same long key may stand in a hundred thousand pointers
    if (text.length + name.length >= maxPointer) break
    // half of a surrogate pair would make a problem document that PHP and jq cannot read
    const step = `/${name.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (text.length + step.length > maxPointer) break
    text += step
  }
  return text
}

/** At most 1,000 entries with 64 KiB of pointers. If entries are left out, one last entry says how many. */
export function bounded(list: readonly FieldError[]): readonly FieldError[] {
  const shown: FieldError[] = []
  let pointerText = 0
  for (const entry of list) {
    const place = nearestThatFits(entry.pointer)
    pointerText += place.length
    if (shown.length === maxEntries || pointerText > maxPointerText) break
    shown.push(place === entry.pointer ? entry : { ...entry, pointer: place })
  }
  const left = list.length - shown.length
  return left > 0 ? [...shown, { pointer: '', detail: `and ${left} more, not listed here` }] : shown
}

function nearestThatFits(text: string): string {
  return text.length <= maxPointer ? text : text.slice(0, Math.max(0, text.lastIndexOf('/', maxPointer)))
}
