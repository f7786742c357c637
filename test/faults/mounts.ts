/** Small file systems of our own, mounted below a part's scratch directory, and taken away again whatever happens. */
import { spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { lacking } from '../needs.ts'

export type FileSystem = 'tmpfs' | 'ext4' | 'xfs' | 'btrfs'

export type Mount = {
  readonly path: string
  unmount(): void
  /** Mounts the same image again: what was not on it is gone. */
  mountAgain(): void
  /** Unmounts, and removes the image. */
  remove(): void
}

const mib = 1024 * 1024

const mkfs = {
  // no blocks kept back for root, and nothing written later in the background
  ext4: ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f', '--mixed'],
} as const

/** The smallest that its mkfs makes. */
const smallest = { tmpfs: mib, ext4: 8 * mib, xfs: 300 * mib, btrfs: 64 * mib } as const

export type MountOptions = {
  readonly bytes?: number
  /** Further words for mkfs, or for `mount -o` of a tmpfs. */
  readonly words?: readonly string[]
  /** For measuring: an image that is written in full beforehand, and used by direct I/O. */
  readonly isWritten?: boolean
}

export function canMake(kind: FileSystem): boolean {
  return kind === 'tmpfs' || lacking(`mkfs.${kind}`) === undefined
}

/** Mounts a new, empty file system at `path`, which is below the scratch directory. */
export function mountNew(kind: FileSystem, path: string, options: MountOptions = {}): Mount {
  const bytes = Math.max(options.bytes ?? 0, smallest[kind])
  const words = options.words ?? []
  const image = `${path}.image`
  if (kind !== 'tmpfs') {
    makeImage(image, bytes, options.isWritten === true)
    // a discard would make holes again
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

/** The loop device goes with the mount: it is given up at once, which takes effect when nobody uses it any more. */
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
  // lazily when somebody still has a file open; the loop device goes with the last of them
  const { status } = spawnSync('umount', [path])
  if (status !== 0) command(['umount', '-l', path])
}

/** Gives what it says on standard output. */
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
