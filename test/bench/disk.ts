/**
 * The file system to which the bench writes. The cost of an fdatasync depends on the file system more than on anything else, and
 * distributions make ext4 with a journal. If the directory is on another file system, an image of such an ext4 is made in it and mounted.
 *
 * The image is written in full beforehand and used with direct I/O, so that it behaves like a disk: it has no holes for which blocks must be
 * found later, and synced data does not stay in the memory of the file system around it.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { canMake, mountNew } from '../faults/mounts.ts'
import { isRoot } from '../needs.ts'

export type Disk = {
  /** A new directory, only for this run. */
  readonly path: string
  readonly fileSystem: string
  /** The number of a block device on which nobody else writes (`7:0`); undefined when there are others. */
  readonly device: string | undefined
  remove(): void
}

export type FileSystem = { readonly type: string; readonly device: string; readonly isJournaled: boolean }

/** The mounted file system that holds this directory. */
export function fileSystemAt(path: string): FileSystem {
  const { dev } = statSync(path)
  // This splits a device number as glibc does.
  const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  const found = lines.map((line) => line.split(' ')).find(([, , number]) => number === device)
  const [type = 'unknown', source = ''] = found?.slice(found.indexOf('-') + 1) ?? []
  return { type, device, isJournaled: type === 'ext4' && hasJournal(source) }
}

/** Whether an ext4 has a journal. The kernel shows the journal of each mounted ext4 under the name of its device. */
function hasJournal(source: string): boolean {
  const name = source.slice(source.lastIndexOf('/') + 1)
  try {
    return readdirSync('/proc/fs/jbd2').some((journal) => journal.startsWith(`${name}-`))
  } catch {
    // The kernel shows no journal at all.
    return false
  }
}

export function nameOf({ type, isJournaled }: FileSystem): string {
  if (type !== 'ext4') return type
  return isJournaled ? 'ext4 with a journal' : 'ext4 without a journal'
}

/** Whether a directory is in memory, where the bench would measure no disk. */
function isInMemory({ type }: FileSystem): boolean {
  return type === 'tmpfs' || type === 'ramfs'
}

/** With `asItIs` the file system of that directory is used, whatever it is. */
export function openDisk(below: string, bytes: number, asItIs: boolean): Disk {
  mkdirSync(below, { recursive: true })
  const outer = mkdtempSync(join(below, 'civic-bench-'))
  // PostgreSQL runs as a user of its own, who must be able to enter this directory.
  chmodSync(outer, 0o711)
  const around = fileSystemAt(outer)
  const plain = (why: string): Disk => ({
    path: prepared(outer),
    fileSystem: `${nameOf(around)}${why}`,
    device: undefined,
    remove: () => rmSync(outer, { recursive: true, force: true }),
  })
  try {
    if (isInMemory(around)) throw new Error('that directory is in memory; name one on a disk with --dir')
    requireRoom(outer, bytes)
    if (asItIs || around.isJournaled) return plain('')
    if (!isRoot || !canMake('ext4'))
      return plain(', since an image of an ext4 with a journal needs root and mkfs.ext4')
    return image(outer, bytes, around)
  } catch (error) {
    rmSync(outer, { recursive: true, force: true })
    throw error
  }
}

function image(outer: string, bytes: number, around: FileSystem): Disk {
  const mount = mountNew('ext4', join(outer, 'disk'), { bytes, isWritten: true })
  const inner = fileSystemAt(mount.path)
  return {
    path: prepared(mount.path),
    fileSystem: `${nameOf(inner)} (an image with direct I/O, over ${nameOf(around)})`,
    device: inner.device,
    remove() {
      mount.remove()
      rmSync(outer, { recursive: true, force: true })
    },
  }
}

/**
 * ext4 without a journal skips recently freed inodes in the same part of the disk when it looks for a new one, so a point would pay for the
 * files that the points before it have replaced. With this attribute each directory below gets a part of its own. Other file systems, and a
 * machine without chattr, do not get the attribute.
 */
function prepared(path: string): string {
  spawnSync('chattr', ['+T', path])
  return path
}

function requireRoom(path: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(path)
  if (bavail * bsize < bytes)
    throw new Error(`the directory needs ${Math.ceil(bytes / 1e9)} GB of free space`)
}
