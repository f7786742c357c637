/** Records for the commands that show them. What cannot be read is counted, not judged; judging is `verify`. */
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Json, JsonObject } from '../../contracts/contract.ts'
import { associationDirectories, recordsName } from '../storage/paths.ts'
import { sha256Hex } from '../storage/records-file.ts'
import { CannotRun } from './io.ts'
import { isSlug } from './options.ts'
import { recordLines, withSnapshot } from './snapshot-file.ts'

export type Stored = {
  readonly slug: string
  /** Its place in the file, 1 for the first; equal to `receipt.sequence` in an unaltered file. */
  readonly number: number
  /** Undefined when the line is not a JSON object. */
  readonly value: JsonObject | undefined
  readonly line: Buffer
  readonly sha256: () => string
}

export function recordsPath(root: string, slug: string): string {
  return join(associationDirectories(root, { addon: 'scn01', association_slug: slug })[1], recordsName)
}

/** Slugs that have a directory below an addon, in order. */
export function slugsOf(root: string, addon: string): string[] {
  return directory(join(root, addon)).filter(isSlug)
}

/** The Placekeys that have a file under an addon and a slug, in order. */
export function placekeysOf(root: string, addon: string, slug: string): string[] {
  const files = directory(join(root, addon, slug)).filter(
    (name) => name.endsWith('.json') && !name.startsWith('.'),
  )
  return files.map((name) => basename(name, '.json'))
}

function directory(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** Answered by who has seen enough. */
export const stop = Symbol('stop')

/** Hands each record of an association to `see`, in the order of the file, until that answers `stop`. */
export async function eachRecord(
  root: string,
  slug: string,
  see: (record: Stored) => Promise<unknown>,
): Promise<void> {
  const path = recordsPath(root, slug)
  try {
    await withSnapshot(path, async (snapshot) => {
      let number = 0
      for await (const line of recordLines(snapshot)) {
        const seen = see({
          slug,
          number: ++number,
          value: objectOf(line),
          line,
          sha256: () => sha256Hex(line),
        })
        if ((await seen) === stop) return
      }
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new CannotRun(`there is no ${path}`)
  }
}

export function objectOf(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)) as Json
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as JsonObject)
      : undefined
  } catch {
    return undefined
  }
}

/** A member that holds a string, or undefined. */
export function textMember(record: JsonObject | undefined, name: string): string | undefined {
  const value = record && Object.hasOwn(record, name) ? record[name] : undefined
  return typeof value === 'string' ? value : undefined
}
