/**
 * Makes records files of any length with the functions of the receiver. Chain, ids and head file are valid, as after an orderly stop.
 *
 * One file serves many points. After each point it is cut back to its former length, which costs nothing, while a copy would cost 400 MB.
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

/** The association of points that write to only one. */
export const onlyAssociation = { addon: 'scn01', association_slug: slugOf(0) } as const

export function directoryOf(root: string): string {
  return associationDirectories(root, onlyAssociation)[1]
}

/** Makes `count` records below an empty data directory. The number of each envelope is its place in the file. */
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
      // This lets the process handle signals and print its progress.
      if (position.count % (recordsAtOnce * 64) === 0) await new Promise(setImmediate)
    }
    fsyncSync(file)
    writeHead(directory, position)
  } finally {
    closeSync(file)
  }
  return position
}

/** Restores a file to the state in which `fill` left it, whatever a killed receiver left behind. */
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

/** Only one envelope passes through intake and contract. The others differ from it only in the number and the two hashes. */
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
