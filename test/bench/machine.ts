/** What a run was made on. Ratios are comparable between machines; the rest only with this beside it. */
import { readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

export type Machine = {
  readonly cores: number
  readonly processor: string
  readonly memoryGb: number
  readonly system: string
  readonly node: string
  readonly fileSystem: string
  /** Load of the last minute when the run began: above a few tenths, others were at work. */
  readonly load: number
}

/** statfs(2). Others are given as their number. */
const fileSystems: Readonly<Record<number, string>> = {
  61267: 'ext2/3/4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  2035054128: 'overlayfs',
  16914836: 'tmpfs',
  2240043254: 'ramfs',
}

export function machine(scratch: string): Machine {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${type()} ${release()}`,
    node: process.version,
    fileSystem: fileSystemOf(scratch),
    load: loadavg()[0] as number,
  }
}

function fileSystemOf(path: string): string {
  const { type } = statfsSync(path)
  const name = fileSystems[type] ?? `type 0x${type.toString(16)}`
  return name === 'ext2/3/4' ? (mountedTypes().find((mounted) => /^ext\d$/.test(mounted)) ?? name) : name
}

function mountedTypes(): string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[2] ?? '')
}

/** A directory in memory would measure nothing of a disk. */
export function isInMemory(path: string): boolean {
  return ['tmpfs', 'ramfs'].includes(fileSystemOf(path))
}
