/**
 * What others kept: receipts that an addon was answered with, heads that were published. Each says that record SEQUENCE
 * of association SLUG has that SHA-256, for ever. They are the only thing an operator cannot rewrite.
 */
import { readFileSync } from 'node:fs'
import { CannotRun } from '../io.ts'
import { isSlug } from '../options.ts'

export type Expectation = {
  readonly slug: string
  readonly sequence: number
  readonly sha256: string
  /** Where it was written down, for the finding. */
  readonly source: string
}

export type Expectations = ReadonlyMap<string, readonly Expectation[]>

const none64 = '0'.repeat(64)

export function bySlug(expected: readonly Expectation[]): Expectations {
  const found = new Map<string, Expectation[]>()
  for (const each of expected) found.set(each.slug, [...(found.get(each.slug) ?? []), each])
  return found
}

/** `SLUG:SEQUENCE:SHA256` */
export function expectation(text: string, source: string): Expectation {
  const [slug = '', sequence = '', sha256 = '', ...others] = text.trim().split(':')
  return checked(slug, Number(sequence), sha256, source, others.length === 0 && /^\d{1,15}$/.test(sequence))
}

function checked(
  slug: string,
  sequence: unknown,
  sha256: unknown,
  source: string,
  wellFormed = true,
): Expectation {
  const hex = typeof sha256 === 'string' ? sha256.toLowerCase() : ''
  const counts = typeof sequence === 'number' && Number.isSafeInteger(sequence) && sequence >= 0
  const emptyHead = sequence === 0 && hex === none64
  if (wellFormed && isSlug(slug) && counts && /^[0-9a-f]{64}$/.test(hex) && (sequence > 0 || emptyHead)) {
    return { slug, sequence, sha256: hex, source }
  }
  throw new CannotRun(`${source}: expected SLUG:SEQUENCE:SHA256`)
}

/**
 * A file of them, one a line: `SLUG:SEQUENCE:SHA256` (what `heads` prints), or the answer of the receiver as JSON. Empty
 * lines and lines that begin with `#` are passed over. Answers for other addons have no sequence and are, too.
 */
export function expectationsIn(file: string): Expectation[] {
  return readLinesOf(file).flatMap((line, index) => {
    const source = `${file} line ${index + 1}`
    const text = line.trim()
    if (text === '' || text.startsWith('#')) return []
    return text.startsWith('{') ? fromAnswer(text, source) : [expectation(text, source)]
  })
}

function readLinesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n')
  } catch (error) {
    throw new CannotRun(`cannot read ${file}: ${(error as Error).message}`)
  }
}

function fromAnswer(text: string, source: string): Expectation[] {
  try {
    const { addon, association_slug, sequence, record_sha256 } = JSON.parse(text) as Record<string, unknown>
    if (sequence === undefined && typeof addon === 'string' && addon !== 'scn01') return []
    return [checked(String(association_slug), sequence, record_sha256, source)]
  } catch (error) {
    if (error instanceof CannotRun) throw error
    throw new CannotRun(`${source}: not JSON`)
  }
}
