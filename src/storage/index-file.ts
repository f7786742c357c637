/**
 * `.records.index`: where each record of a long `records.json` begins, by its id, so that a start need not read them all.
 *
 * It is a copy of what the receiver has in memory (`id-table.ts`) up to one record, and nothing depends on it: without it,
 * or when it does not pass `check`, all records are read and verified. What it may be used for, `association-file.ts` decides.
 * Whoever likes may remove it at any time.
 *
 * A first line of fixed length in JSON, then the table as it is in memory. Written beside and renamed, so it is whole or the
 * one before. write-file-atomic would rename a file that a full disk has cut short, so the bytes are written here, in its
 * `tmpfileCreated` hook; the directory is not synced, since a power cut may as well leave the one before.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { endianness } from 'node:os'
import writeFileAtomic from 'write-file-atomic'
import { fileMode } from './durable-file.ts'
import { IdTable } from './id-table.ts'
import { type Position, readRange, sha256Hex } from './records-file.ts'

/** `position`: the last record that is in it. */
export type Index = { readonly position: Position; readonly ids: IdTable }

const headerLength = 256

/** Owner and group stay those of the new file: the service's user, and by the set-group-id bit the auditors' group. */
const asCreated = { uid: -1, gid: -1 }

/** The bytes of another kind of processor would pass and mean something else, so its order is part of what is checked. */
function checkOf({ count, end, sha256 }: Position, table: Uint8Array): string {
  return sha256Hex(`1 ${endianness()} ${count} ${end} ${sha256} ${sha256Hex(table)}`)
}

export async function writeIndex(path: string, { position, ids }: Index): Promise<void> {
  const table = ids.bytes
  const header = JSON.stringify({ ...position, check: checkOf(position, table) })
  const tmpfileCreated = async (temporary: string): Promise<void> => {
    const file = await open(temporary, 'r+')
    try {
      await file.writeFile(`${header.padEnd(headerLength - 1)}\n`)
      await file.writeFile(table)
    } finally {
      await file.close()
    }
  }
  await writeFileAtomic(path, '', { mode: fileMode, chown: asCreated, tmpfileCreated })
}

/** The index, or undefined when there is none that can be used. */
export async function readIndex(path: string): Promise<Index | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      return await read(file)
    } finally {
      await file.close()
    }
  } catch {
    return undefined
  }
}

async function read(file: FileHandle): Promise<Index | undefined> {
  const { size } = await file.stat()
  const header = await readRange(file, 0, headerLength)
  const { count, end, sha256, check } = JSON.parse(header.toString('latin1')) as Position & { check: unknown }
  const position = { count, end, sha256 }
  const table = await readRange(file, headerLength, size)
  return check === checkOf(position, table) ? { position, ids: IdTable.of(table, count) } : undefined
}
