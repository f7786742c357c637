/** Reads what the backup notes about its end (`backup/status.ts`), for the metrics. Another user's program writes it. */
import { readRegularSync } from '../storage/files/regular-file.ts'

const longest = 4_096

/** Times in seconds since 1970. */
export type BackupStatus = {
  readonly exit: number
  readonly endedAt: number
  /** Of the last backup that was made. */
  readonly madeAt: number | undefined
}

/** Undefined when there is none that can be read. */
export function readBackupStatus(path: string): BackupStatus | undefined {
  try {
    const { exit, ended_at, made_at } = JSON.parse(readRegularSync(path, longest).toString('utf8'))
    const endedAt = secondsOf(ended_at)
    return typeof exit === 'number' && endedAt !== undefined
      ? { exit, endedAt, madeAt: secondsOf(made_at) }
      : undefined
  } catch {
    return undefined
  }
}

function secondsOf(time: unknown): number | undefined {
  const ms = typeof time === 'string' ? Date.parse(time) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms / 1000
}
