/** The reading and judging code of the page, without drawing, for the worker of the page and for tests. */

import { judgeRange } from '../verify/content-range.ts'
import { type Expectation, headsIn, type KeptReceipts, keptIn, NotKept } from '../verify/expectations.ts'
import type { Judge } from '../verify/in-directory.ts'
import type { Kept, Source } from './check.ts'
import { type Opened, sourceOf } from './opened-directory.ts'

export { check } from './check.ts'
export { placed } from './placed.ts'

/** Judges in this thread. */
export function judgeIn(files: readonly Opened[]): Judge {
  const byPath = new Map(files.map(({ path, file }) => [path, file]))
  return ({ path, place, ...range }) => judgeRange(sourceOf(byPath.get(path) as Blob), place, range)
}

export type KeptText = { readonly name: string; readonly text: string }

/** Throws `NotKept`, with words for the person who gave the text, when a text holds nothing that can be compared. */
export function keptFrom(texts: readonly KeptText[]): Kept {
  const expected: Expectation[] = []
  const sources: Source[] = []
  for (const { name, text } of texts) {
    const found = comparable(text, name).expected
    for (const each of found) expected.push(each)
    sources.push({ name, count: found.length })
  }
  return { expected, sources }
}

/** Reads a list of receipts and heads, or the copied text of a post or a mail, with other words around the heads. */
function comparable(text: string, name: string): KeptReceipts {
  if (/\.(tsr|pem)$/.test(name))
    throw new NotKept(
      `${name} belongs to a time stamp, which this page cannot check: the tool checks it (verify --stamps). The heads file beside it can be given here alone`,
    )
  const asList = orWhyNot(() => keptIn(text, name))
  if (!(asList instanceof NotKept)) return asList
  const asPublished = orWhyNot(() => headsIn(text, name))
  if (asPublished instanceof NotKept) throw asList
  return asPublished
}

function orWhyNot<T>(read: () => T): T | NotKept {
  try {
    return read()
  } catch (error) {
    if (error instanceof NotKept) return error
    throw error
  }
}
