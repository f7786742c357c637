/** Collects receipts and heads from the command line and from files. */
import { readFileSync } from 'node:fs'
import { CannotRun } from '../../cli/io.ts'
import type { Parsed } from '../../cli/options.ts'
import { counted } from '../../cli/print.ts'
import { type Expectation, expectation, headsIn, keptIn, NotKept } from './expectations.ts'
import type { Stamps } from './stamps.ts'

export type KeptFiles = {
  readonly expected: readonly Expectation[]
  /** The heads among them that came from --heads. */
  readonly heads: readonly Expectation[]
  /** Where they came from, for the report. */
  readonly sources: readonly {
    readonly name: string
    readonly count: number
    readonly withoutHistory: number
  }[]
}

export function keptFrom(options: Parsed): KeptFiles {
  const expected = options.texts('expect').map((text) => understood(() => expectation(text, '--expect')))
  const sources = expected.length > 0 ? [{ name: '--expect', count: expected.length, withoutHistory: 0 }] : []
  const heads: Expectation[] = []
  const files = [
    ...options.texts('receipts').map((name) => [name, keptIn] as const),
    ...options.texts('heads').map((name) => [name, headsIn] as const),
  ]
  for (const [name, read] of files) {
    const kept = understood(() => read(textOf(name), name))
    for (const each of kept.expected) {
      expected.push(each)
      if (read === headsIn) heads.push(each)
    }
    sources.push({ name, count: kept.expected.length, withoutHistory: kept.withoutHistory })
  }
  return { expected, heads, sources }
}

/** Adds the stamped heads to the receipts and heads that were kept otherwise. */
export function withStamps({ expected, heads, sources }: KeptFiles, stamps: Stamps, name: string): KeptFiles {
  return {
    expected: [...expected, ...stamps.expected],
    heads,
    sources: [
      ...sources,
      {
        name: `${name}: ${counted(stamps.count, 'stamp')}`,
        count: stamps.expected.length,
        withoutHistory: 0,
      },
    ],
  }
}

function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof NotKept) throw new CannotRun(error.message)
    throw error
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new CannotRun(`cannot read ${file}: ${(error as Error).message}`)
  }
}
