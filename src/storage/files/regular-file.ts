/**
 * Opens a file that another user may have made. A name in a data directory or in a backup proves nothing about the kind of
 * file: the name may be a link that leads elsewhere, a FIFO that nobody writes to, a device without an end, or a directory.
 *
 * O_NOFOLLOW fails on a link, and O_NONBLOCK does not wait for the writer of a FIFO. The kind is judged by fstat on the open
 * file, so that nobody can replace the file between the check and the reading.
 *
 * Not promised: a link in the place of a *directory* on the way is followed. Code that reads a tree therefore enters
 * directories only (`Dirent.isDirectory()`).
 */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { hasCode } from '../../error-code.ts'

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

type IrregularKind = 'a symbolic link' | 'a directory' | 'a special file'

/** The name exists, but is no regular file. Has a `code` as errors of the file system have. */
export class NotRegular extends Error {
  override readonly name = 'NotRegular'
  readonly code = 'ENOTREGULAR'
  /** What it is instead, in words. */
  readonly kind: IrregularKind

  constructor(path: string, kind: IrregularKind) {
    super(`${path} is ${kind}, not a regular file`)
    this.kind = kind
  }
}

/** A regular file is longer than its reader accepts. */
export class TooLong extends Error {
  override readonly name = 'TooLong'
  readonly code = 'EFBIG'
}

/** Throws `NotRegular`, or the error of the file system (`ENOENT`, `EACCES`). */
export async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, flags).catch((error) => refuse(path, error))
  try {
    requireRegular(path, await file.stat())
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The whole content of a regular file of at most `most` bytes; a longer one throws `TooLong` and is not read. */
export function readRegularSync(path: string, most: number): Buffer {
  const fd = openRegularSync(path)
  try {
    return readAll(fd, path, most)
  } finally {
    closeSync(fd)
  }
}

function openRegularSync(path: string): number {
  let fd: number
  try {
    fd = openSync(path, flags)
  } catch (error) {
    return refuse(path, error)
  }
  try {
    requireRegular(path, fstatSync(fd))
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/**
 * Reads to the end of the file and not to the size that fstat gives, because a file that grows meanwhile must not be cut in
 * silence.
 */
function readAll(fd: number, path: string, most: number): Buffer {
  const { size } = fstatSync(fd)
  if (size > most) throw tooLong(path, most)
  let bytes = Buffer.allocUnsafe(size + 1)
  let length = 0
  for (;;) {
    const count = readSync(fd, bytes, length, bytes.length - length, null)
    if (count === 0) return bytes.subarray(0, length)
    length += count
    if (length > most) throw tooLong(path, most)
    if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(length * 2, most + 1))
  }
}

function tooLong(path: string, most: number): TooLong {
  return new TooLong(`${path} is longer than ${most} bytes`)
}

function requireRegular(path: string, stat: Stats): void {
  if (stat.isFile()) return
  throw new NotRegular(path, stat.isDirectory() ? 'a directory' : 'a special file')
}

/** ELOOP means a link (O_NOFOLLOW). ENXIO means a socket, or a device without a driver. */
function refuse(path: string, error: unknown): never {
  if (hasCode(error, 'ELOOP')) throw new NotRegular(path, 'a symbolic link')
  if (hasCode(error, 'ENXIO', 'ENODEV')) throw new NotRegular(path, 'a special file')
  throw error
}
