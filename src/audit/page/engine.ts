/** What the worker of the page and the tests of the page share: everything that reads and judges, and nothing that draws. */

import { judgeRange } from '../verify/content-range.ts'
import { type Expectation, keptIn } from '../verify/expectations.ts'
import type { Judge } from '../verify/in-directory.ts'
import type { Kept, Source } from './check.ts'
import { type Opened, sourceOf } from './opened-directory.ts'

export { check } from './check.ts'
export { placed } from './placed.ts'

/** Judges in this very thread. */
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
    const found = keptIn(text, name).expected
    for (const each of found) expected.push(each)
    sources.push({ name, count: found.length })
  }
  return { expected, sources }
}
