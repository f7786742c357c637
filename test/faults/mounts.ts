/** Mounts small file systems below the scratch directory of a part, and removes them again whatever happens. */
import { spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { lacking } from '../needs.ts'

export type FileSystem = 'tmpfs' | 'ext4' | 'xfs' | 'btrfs'

export type Mount = {
  readonly path: string
  unmount(): void
  /** Mounts the same image again. Data that was not written to it is gone. */
  mountAgain(): void
  /** Unmounts, and removes the image. */
  remove(): void
}

const mib = 1024 * 1024

const mkfs = {
  // No blocks are reserved for root, and nothing is written later in the background.
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f', '--mixed'],
} as const

/** The smallest size that each mkfs makes. */
const smallest = { tmpfs: mib, ext4: 8 * mib, xfs: 300 * mib, btrfs: 64 * mib } as const

export type MountOptions = {
  readonly bytes?: number
  /** Additional arguments of mkfs, or of `mount -o` for a tmpfs. */
  readonly words?: readonly string[]
  /** For measurements: the image is written in full beforehand and used with direct I/O. */
  readonly isWritten?: boolean
}

export function canMake(kind: FileSystem): boolean {
  return kind === 'tmpfs' || lacking(`mkfs.${kind}`) === undefined
}

/** Mounts a new, empty file system at `path`, which must be below the scratch directory. */
export function mountNew(kind: FileSystem, path: string, options: MountOptions = {}): Mount {
  const bytes = Math.max(options.bytes ?? 0, smallest[kind])
  const words = options.words ?? []
  const image = `${path}.image`
  if (kind !== 'tmpfs') {
    makeImage(image, bytes, options.isWritten === true)
    // A discard would make holes in the image again.
    const whole = options.isWritten && kind === 'ext4' ? ['-E', `nodiscard,${mkfs.ext4.at(-1)}`] : []
    command([...mkfs[kind], ...whole, ...words, image])
  }
  const mount = (): void => {
    if (kind === 'tmpfs') command(['mount', '-t', kind, '-o', [`size=${bytes}`, ...words].join(), kind, path])
    else if (options.isWritten) mountDirectly(image, path)
    else command(['mount', '-o', 'loop', image, path])
    mounted.add(path)
  }
  mkdirSync(path, { recursive: true })
  mount()
  return {
    path,
    unmount: () => unmount(path),
    mountAgain: mount,
    remove() {
      unmount(path)
      rmSync(image, { force: true })
    },
  }
}

function makeImage(image: string, bytes: number, isWritten: boolean): void {
  const file = openSync(image, 'w')
  try {
    const zeros = Buffer.alloc(16 * mib)
    for (let at = 0; isWritten && at < bytes; at += zeros.length) writeSync(file, zeros, 0, zeros.length, at)
    ftruncateSync(file, bytes)
    if (isWritten) fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Mounts with direct I/O. The loop device is released at once; it goes when nobody uses it any more, which is after the unmount. */
function mountDirectly(image: string, path: string): void {
  const device = command(['losetup', '--direct-io=on', '--find', '--show', image])
  try {
    command(['mount', device, path])
  } finally {
    command(['losetup', '--detach', device])
  }
}

const mounted = new Set<string>()

function unmount(path: string): void {
  if (!mounted.delete(path)) return
  // If a file is still open, the unmount is lazy, and the loop device goes when the last file is closed.
  const { status } = spawnSync('umount', [path])
  if (status !== 0) command(['umount', '-l', path])
}

/** Runs a command and gives its standard output. */
function command([program, ...args]: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program as string, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program}: ${stderr}`)
  return stdout.trim()
}

function unmountAll(): void {
  for (const path of mounted) spawnSync('umount', ['-l', path])
  mounted.clear()
}

process.once('exit', unmountAll)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
