/** The machine of a run. Ratios can be compared between machines; other figures only together with this description. */
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

export type Machine = {
  readonly cores: number
  readonly processor: string
  readonly memoryGb: number
  readonly system: string
  readonly node: string
  readonly fileSystem: string
  /** The load of the last minute when the run began. Above a few tenths, other programs were at work. */
  readonly load: number
}

export function machine(fileSystem: string): Machine {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1e9),
    system: `${type()} ${release()}`,
    node: process.version,
    fileSystem,
    load: loadavg()[0] as number,
  }
}
