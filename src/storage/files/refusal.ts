/**
 * `.refused.json` lies beside a records file that is refused as damaged. It says why and since when, and which record was the last
 * known one. It outlives a restart, so an association stays refused until its records file is whole again, even when the records
 * file and its head file are gone. An operator who accepts that records are lost removes `.refused.json` by hand.
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Head } from '../../records/head.ts'
import { refusedName } from '../../records/layout.ts'
import { removeIfThere } from './durable-file.ts'
import { ifThere } from './fault.ts'
import { writeSmallFile } from './small-file.ts'

export type Refusal = {
  readonly refused_at: string
  readonly reason: string
  /** The last record that the file was known to hold; null when no record was known. */
  readonly head: Head | null
}

export function isRefused(directory: string): boolean {
  return existsSync(join(directory, refusedName))
}

/** Undefined when there is no refusal, or when it cannot be understood. */
export async function readRefusal(directory: string): Promise<Refusal | undefined> {
  const text = await ifThere(readFile(join(directory, refusedName), 'utf8'))
  if (text === undefined) return undefined
  try {
    const { refused_at, reason, head } = JSON.parse(text) as Refusal
    const isHead = typeof head?.count === 'number' && typeof head.size === 'number'
    return { refused_at: String(refused_at), reason: String(reason), head: isHead ? head : null }
  } catch {
    return undefined
  }
}

/** Writes the refusal unless there is one already, because the first refusal knows the most records. */
export async function keepRefusal(directory: string, reason: string, head: Head | undefined): Promise<void> {
  const refusal: Refusal = { refused_at: new Date().toISOString(), reason, head: head ?? null }
  const text = `${JSON.stringify(refusal, null, 2)}\n`
  await writeSmallFile(join(directory, refusedName), text, { onlyIfAbsent: true })
}

export function removeRefusal(directory: string): void {
  removeIfThere(join(directory, refusedName))
}
