/**
 * The few system calls that put bytes and names on the disk for good.
 *
 * A file's bytes last after fsync or fdatasync on the file. A file's *name* lasts after fsync on its directory, and a
 * directory's name after fsync on its parent. rename is atomic, but only the fsync of the directory makes it last.
 *
 * The kernel reports a failed writeback of a directory only to those who had the directory open when it failed. So the
 * directory is opened before a name in it changes, and stays open until its fsync has ended. Every change of a name goes through
 * `changeNames`, which does both.
 */

import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  open,
  openSync,
  rename,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { hasCode } from '../../error-code.ts'
import { directoryMode } from '../../records/layout.ts'

/** Opens a file for reading and writing, and makes it when it is not there. */
export const openOrMake = constants.O_RDWR | constants.O_CREAT

/** Writes every byte at `position`. The kernel may write only a part and call that a success; then the rest is written, too. */
export function writeAllSync(fd: number, bytes: Uint8Array, position: number): void {
  let written = 0
  while (written < bytes.length) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written)
  }
}

/** Removes an unfinished file. If it cannot be removed now, the next start removes it. */
export function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch {}
}

export const truncateSync: (fd: number, size: number) => void = ftruncateSync

/** Puts a file's data and size on disk. Asynchronous, because one slow flush must not stop every association. */
export const datasync = promisify(fdatasync)
/** Puts an open file or directory on disk, its times included. */
export const syncFile = promisify(fsync)
/** Both change a directory, so both may wait for the journal of the file system and are asynchronous. */
export const openFile = promisify(open)
export const renameFile = promisify(rename)

/**
 * Makes, renames or removes names in a directory, and resolves when the change is on disk. When `change` throws, nothing is
 * synced. The directory is opened synchronously, because that costs less than a turn of the thread pool.
 */
export async function changeNames<T>(directory: string, change: () => T | Promise<T>): Promise<T> {
  const fd = openSync(directory, 'r')
  try {
    const result = await change()
    await fsyncShared(fd)
    return result
  } finally {
    closeSync(fd)
  }
}

type Round = { readonly running: Promise<void>; next: Promise<void> | undefined }

/** Directory fsyncs under way, by device and inode. */
const rounds = new Map<string, Round>()

/**
 * An fsync covers every change that was made before the fsync began. So all callers that arrive while one fsync is running share
 * the next one, on the descriptor of the first caller. When the running fsync fails, the shared one fails as well: the failed
 * writeback may have held the changes of the waiting callers, and the kernel reports each failure only once.
 */
function fsyncShared(fd: number): Promise<void> {
  const { dev, ino } = fstatSync(fd)
  const directory = `${dev}:${ino}`
  const round = rounds.get(directory)
  if (!round) return startRound(directory, fd)
  round.next ??= round.running.then(() => startRound(directory, fd))
  return round.next
}

function startRound(directory: string, fd: number): Promise<void> {
  const running = syncFile(fd)
  const round: Round = { running, next: undefined }
  rounds.set(directory, round)
  const end = (): void => {
    if (rounds.get(directory) === round) rounds.delete(directory)
  }
  running.then(() => {
    if (!round.next) end()
  }, end)
  return running
}

/** Directories whose entry in their parent this process has put on disk. */
const lasting = new Set<string>()

/** Makes each missing directory. Fsyncs its parent once per process, also when another process made the directory. */
export async function makeDirectories(outermostFirst: readonly string[]): Promise<void> {
  for (const directory of outermostFirst) {
    if (lasting.has(directory)) continue
    await changeNames(dirname(directory), () => makeDirectory(directory))
    lasting.add(directory)
  }
}

/**
 * Makes the missing directories and then does the work. When somebody has removed a directory since this process made it, all
 * directories are made again and the work is done a second time.
 */
export async function inDirectories<T>(
  outermostFirst: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    await makeDirectories(outermostFirst)
    return await work()
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    forgetDirectories(outermostFirst)
    await makeDirectories(outermostFirst)
    return work()
  }
}

/** Removes empty directories, innermost first. Stops at the first one that is not empty. */
export function removeEmptyDirectories(outermostFirst: readonly string[]): void {
  for (const directory of [...outermostFirst].reverse()) {
    try {
      rmdirSync(directory)
      forgetDirectories([directory])
    } catch {
      return
    }
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
  // mkdir(2) ignores the set-group-id bit of its mode and applies the umask, so chmod sets the mode
  await chmod(directory, directoryMode)
}
