/**
 * The few system calls that make something last.
 *
 * A file's bytes last after fsync or fdatasync on the file. A file's *name* lasts after fsync on its directory, and a
 * directory's name after fsync on its parent. rename is atomic, but only the fsync of the directory makes it last.
 */
import { closeSync, fdatasync, fsync, ftruncateSync, open, openSync, rename, writeSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { hasCode } from './fault.ts'

export const fileMode = 0o640
/** With the set-group-id bit, so that what is made inside belongs to the auditors' group. */
const directoryMode = 0o2750

/** Writes every byte at `position`. A short count is not an error for the kernel, so it is asked again until it is one. */
export function writeAllSync(fd: number, bytes: Uint8Array, position: number): void {
  let written = 0
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

export const truncateSync: (fd: number, size: number) => void = ftruncateSync

/** Data and size on disk; times may follow later. Asynchronous, since one slow flush must not stop every association. */
export const datasync = promisify(fdatasync)
/** The same with all times, for a file or a directory that was opened. */
export const syncFile = promisify(fsync)
/** These change a directory, and may have to wait for a journal that is being written. */
export const openFile = promisify(open)
export const renameFile = promisify(rename)

/** Opening and closing a directory that is in use costs less than a turn of the thread pool; its fsync does not. */
async function fsyncOnce(directory: string): Promise<void> {
  const fd = openSync(directory, 'r')
  try {
    await syncFile(fd)
  } finally {
    closeSync(fd)
  }
}

type Round = { readonly running: Promise<void>; next: Promise<void> | undefined }

/** Directory fsyncs under way. One that *starts* after a rename covers it, so all who wait for the next share it. */
const rounds = new Map<string, Round>()

export function fsyncDirectory(directory: string): Promise<void> {
  const round = rounds.get(directory)
  if (!round) return startRound(directory)
  round.next ??= round.running.then(
    () => startRound(directory),
    () => startRound(directory),
  )
  return round.next
}

function startRound(directory: string): Promise<void> {
  const running = fsyncOnce(directory)
  const round: Round = { running, next: undefined }
  rounds.set(directory, round)
  const end = (): void => {
    if (rounds.get(directory) === round && !round.next) rounds.delete(directory)
  }
  running.then(end, end)
  return running
}

/** Directories whose entry this process has seen on disk. */
const lasting = new Set<string>()

/** Makes each directory that is not there and fsyncs its parent, once per process, whoever made it. */
export async function makeDirectories(outermostFirst: readonly string[]): Promise<void> {
  for (const directory of outermostFirst) {
    if (lasting.has(directory)) continue
    await makeDirectory(directory)
    await fsyncDirectory(dirname(directory))
    lasting.add(directory)
  }
}

/** Called when a directory is missing after all (somebody removed it): the next caller makes it again. */
export function forgetDirectories(outermostFirst: readonly string[]): void {
  for (const directory of outermostFirst) lasting.delete(directory)
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    throw error
  }
  // mkdir(2) ignores the set-group-id bit of its mode and applies the umask, so the mode is set for itself
  await chmod(directory, directoryMode)
}
