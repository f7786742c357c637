/** Checks after the kill that every acknowledged record is on disk as it was acknowledged. It reads the files without the receiver. */

import { existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { follow } from '../../src/records/chain.ts'
import { recordsName } from '../../src/records/layout.ts'
import { emptyPosition, type Position } from '../../src/records/position.ts'
import { sourceOf } from '../../src/storage/files/byte-source.ts'
import { associationDirectories, placekeyFile } from '../../src/storage/files/paths.ts'
import type { Acknowledged } from './job.ts'
import { numberOf } from './request.ts'

export type ReadBack = { readonly acknowledged: number; readonly lost: number }

function acknowledgedIn(path: string): Acknowledged[] {
  const text = readFileSync(path, 'utf8')
  return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as Acknowledged)
}

/** Each acknowledged sequence number must be a line of the chain with the acknowledged hash. The load began at `from`. */
export async function readBackAppends(root: string, list: string, from: Position): Promise<ReadBack> {
  const hashes = new Map<string, Map<number, string>>()
  let acknowledged = 0
  let lost = 0
  for (const entry of acknowledgedIn(list)) {
    if (!('slug' in entry)) continue
    const stored = hashes.get(entry.slug) ?? (await storedHashes(root, entry.slug, from))
    hashes.set(entry.slug, stored)
    acknowledged++
    if (stored.get(entry.sequence) !== entry.sha256) lost++
  }
  return { acknowledged, lost }
}

async function storedHashes(root: string, slug: string, from: Position): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  const path = join(associationDirectories(root, { addon: 'scn01', association_slug: slug })[1], recordsName)
  if (!existsSync(path)) return found
  const file = await open(path, 'r')
  try {
    const start = from.count === 0 ? emptyPosition : from
    const { size } = await file.stat()
    await follow(sourceOf(file), start, size, ({ receipt, sha256 }) => found.set(receipt.sequence, sha256))
  } finally {
    await file.close()
  }
  return found
}

/**
 * The file of each Placekey must be whole. No envelope may have been acknowledged that was sent after the envelope in the file had been
 * answered, because that envelope would be lost.
 */
export function readBackOverwrites(root: string, list: string, association_slug: string): ReadBack {
  type Entry = Extract<Acknowledged, { participant: string }>
  const byKey = new Map<string, Entry[]>()
  let acknowledged = 0
  for (const entry of acknowledgedIn(list)) {
    if (!('participant' in entry)) continue
    acknowledged++
    byKey.set(entry.participant, [...(byKey.get(entry.participant) ?? []), entry])
  }
  let lost = 0
  for (const [participant_id, entries] of byKey) {
    const stored = wholeFile(placekeyFile(root, { addon: 'vs01', association_slug, participant_id }))
    const kept = entries.find(({ number }) => number === stored)
    // The file may also hold an envelope that was sent and never acknowledged. It is newer than all acknowledged ones.
    const newest = Math.max(...entries.map(({ number }) => number))
    if (stored === undefined || (!kept && stored < newest)) lost += entries.length
    else if (kept) lost += entries.filter(({ sent }) => sent > kept.answered).length
  }
  return { acknowledged, lost }
}

/** The number of the envelope in the file; undefined when the file is missing or not one whole envelope. */
function wholeFile(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    JSON.parse(text)
    return numberOf(text)
  } catch {
    return undefined
  }
}
