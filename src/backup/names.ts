/** Decides which names of a data directory a backup copies. The writer and the reader of a list use the same functions. */

import type { StorageRule } from '../../contracts/contract.ts'
import { isSlug } from '../../contracts/envelope.ts'
import { contracts } from '../../contracts/index.ts'
import {
  asidePattern,
  headName,
  keptOpenPattern,
  lockName,
  oldIndexPattern,
  ownTemporaryPattern,
  type RecordPath,
  recordsName,
  refusedName,
  tornPattern,
} from '../records/layout.ts'
import { placekeyFile } from '../storage/files/paths.ts'

/** Undefined for an addon that this program does not know. */
export function ruleOf(addon: string): StorageRule | undefined {
  return contracts.get(addon)?.[0]?.storage
}

export function isPlace({ addon, association_slug }: RecordPath): boolean {
  return ruleOf(addon) !== undefined && isSlug(association_slug)
}

/** Whether a file is copied as a whole: the file of a Placekey, or the torn end that recovery cut off a records file. */
export function isWholeFile(addon: string, name: string): boolean {
  return ruleOf(addon) === 'append-only' ? tornPattern.test(name) : participantOf(name) !== undefined
}

/** The Placekey in the name of a file; undefined for a name that the receiver does not give. */
export function participantOf(name: string): string | undefined {
  const participant_id = name.endsWith('.json') ? name.slice(0, -'.json'.length) : ''
  try {
    placekeyFile('', { addon: 'a', association_slug: 'a', participant_id })
    return participant_id
  } catch {
    return undefined
  }
}

/** Whether a file is there for a moment only: while it is written, or until who has it open has closed it. */
export function isPassing(name: string): boolean {
  return ownTemporaryPattern.test(name) || keptOpenPattern.test(name)
}

/** Whether a file is left out of a backup, because the receiver makes it again or nobody needs it. */
export function isPassedOver(addon: string, name: string): boolean {
  if (isPassing(name)) return true
  if (ruleOf(addon) !== 'append-only') return false
  return name === recordsName || own.has(name) || asidePattern.test(name) || oldIndexPattern.test(name)
}

const own: ReadonlySet<string> = new Set([headName, lockName, refusedName])
