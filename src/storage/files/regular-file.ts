/**
 * Opens a file that another user may have made. A name in a data directory or in a backup proves nothing about its kind: it may be
 * a link that leads elsewhere, a FIFO that nobody writes to, a device without an end, or a directory.
 *
 * O_NOFOLLOW fails on a link, O_NONBLOCK does not wait for a FIFO's writer, and the kind is judged by fstat of what was opened,
 * so that nothing can be put in its place between the look and the reading.
 *
 * Not promised: a link in the place of a *directory* on the way is followed. A reader of a tree goes into directories only
 * (`Dirent.isDirectory()`), and judges the content of what it finds.
 */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { hasCode } from '../../error-code.ts'

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

type IrregularKind = 'a symbolic link' | 'a directory' | 'a special file'

/** Something is there, and it is not a regular file. `code` as errors of the file system have one. */
export class NotRegular extends Error {
  override readonly name = 'NotRegular'
  readonly code = 'ENOTREGULAR'
  /** What is there, in words. */
  readonly kind: IrregularKind

  constructor(path: string, kind: IrregularKind) {
    super(`${path} is ${kind}, not a regular file`)
    this.kind = kind
  }
}

/** A regular file is longer than its reader takes. */
export class TooLong extends Error {
  override readonly name = 'TooLong'
  readonly code = 'EFBIG'
}

/** Throws `NotRegular`, or what the file system says (`ENOENT`, `EACCES`). */
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

/** To the end of the file and not to the size that fstat tells: a file that grows meanwhile must not be cut in silence. */
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

/** ELOOP is a link under O_NOFOLLOW; ENXIO a socket, or a device without a driver. */
function refuse(path: string, error: unknown): never {
  if (hasCode(error, 'ELOOP')) throw new NotRegular(path, 'a symbolic link')
  if (hasCode(error, 'ENXIO', 'ENODEV')) throw new NotRegular(path, 'a special file')
  throw error
}
