/** Reads the note that the backup writes when it ends (`backup/status.ts`), for the metrics. The backup runs as another user. */
import { readRegularSync } from '../storage/files/regular-file.ts'

const longest = 4_096

/** All times are in seconds since 1970. */
export type BackupStatus = {
  readonly exit: number
  readonly endedAt: number
  /** When the last complete backup was made. */
  readonly madeAt: number | undefined
}

/** Undefined when there is no note, or when it cannot be understood. */
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
