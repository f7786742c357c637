/**
 * Records files of any length, made by the functions that the receiver writes with: valid chain, ids and head file, as
 * after a stop in good order.
 *
 * One file serves many points: after each it is cut back to what it was, which costs nothing, where a copy of 400 MB does.
 */
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { JsonObject } from '../../contracts/contract.ts'
import { contracts } from '../../contracts/index.ts'
import { accept } from '../../src/envelope/accept.ts'
import { assemble, type Draft, draftOf } from '../../src/records/batch.ts'
import { canonicalBytes } from '../../src/records/canonical.ts'
import { headOf } from '../../src/records/head.ts'
import { fileMode, headName, recordsName } from '../../src/records/layout.ts'
import { closing, emptyPosition, type Position } from '../../src/records/position.ts'
import { sha256Hex } from '../../src/records/sha256.ts'
import { writeAllSync } from '../../src/storage/files/durable-file.ts'
import { writeHeadSync } from '../../src/storage/files/head-file.ts'
import { associationDirectories } from '../../src/storage/files/paths.ts'
import { benchTokenSha256, numberIn, scn01Envelope, slugOf } from './request.ts'

const recordsAtOnce = 256

/** The association that is written to when only one is. */
export const onlyAssociation = { addon: 'scn01', association_slug: slugOf(0) } as const

export function directoryOf(root: string): string {
  return associationDirectories(root, onlyAssociation)[1]
}

/** Makes `count` records below an empty data directory; the number of each envelope is its place. */
export async function fill(
  root: string,
  count: number,
  onProgress: (done: number) => void,
): Promise<Position> {
  const directory = directoryOf(root)
  mkdirSync(directory, { recursive: true })
  const draft = drafts()
  const receivedAt = new Date().toISOString()
  const file = openSync(join(directory, recordsName), 'wx', fileMode)
  let position = emptyPosition
  try {
    while (position.count < count) {
      const many = Math.min(recordsAtOnce, count - position.count)
      const first = position.count
      const batch = assemble(
        position,
        first === 0,
        Array.from({ length: many }, (_, at) => draft(first + at)),
        receivedAt,
      )
      writeAllSync(file, batch.bytes, first === 0 ? 0 : position.end)
      position = batch.next
      onProgress(position.count)
      // so that a signal is heard and the progress seen
      if (position.count % (recordsAtOnce * 64) === 0) await new Promise(setImmediate)
    }
    fsyncSync(file)
    writeHead(directory, position)
  } finally {
    closeSync(file)
  }
  return position
}

/** Puts a file back to where `fill` left it, whatever a receiver that was killed left behind. */
export async function restore(root: string, position: Position): Promise<void> {
  const directory = directoryOf(root)
  for (const name of await readdir(directory)) {
    if (name !== recordsName && name !== headName) rmSync(join(directory, name), { recursive: true })
  }
  const file = openSync(join(directory, recordsName), 'r+')
  try {
    ftruncateSync(file, position.end)
    writeAllSync(file, Buffer.from(closing), position.end)
    fsyncSync(file)
    writeHead(directory, position)
  } finally {
    closeSync(file)
  }
}

function writeHead(directory: string, position: Position): void {
  const head = openSync(join(directory, headName), 'w', fileMode)
  try {
    writeHeadSync(head, headOf(position))
    fsyncSync(head)
  } finally {
    closeSync(head)
  }
}

/** One envelope goes the whole way through the contract; of the others only the number and the two hashes are new. */
export function drafts(): (number: number) => Draft {
  const sent = scn01Envelope() as JsonObject
  const accepted = accept(sent, [], { tokenSha256: benchTokenSha256, now: new Date() }, contracts)
  if (!accepted.ok) throw new Error(`the envelope is refused: ${JSON.stringify(accepted.errors)}`)
  const canonical = canonicalBytes(Object.fromEntries(accepted.record.members))
  const { opening } = draftOf(accepted.record)
  const setCanonical = numberIn(Buffer.from(canonical.buffer, canonical.byteOffset, canonical.length))
  const setOpening = numberIn(Buffer.from(opening.buffer, opening.byteOffset, opening.length))
  return (number) => {
    setCanonical(number)
    setOpening(number)
    return { id: sha256Hex(canonical), opening: Buffer.from(opening) }
  }
}
